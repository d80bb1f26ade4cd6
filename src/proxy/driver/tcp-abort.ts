/**
 * Ends a TCP connection from the outside, by its addresses, through sock_diag(7): SOCK_DESTROY, there since Linux 4.5
 * where the kernel has CONFIG_INET_DIAG_DESTROY. Its owner gets ECONNABORTED. Needs CAP_NET_ADMIN. Works in any thread.
 */
import type { IpAddress } from '../../ip/address.ts';
import { errnoCode, libc } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  ENOENT,
  IPPROTO_TCP,
  NETLINK_SOCK_DIAG,
  NLMSG_ERROR,
  SOCK_RAW,
} from '../../net/linux.ts';
import { newSocket } from '../../net/socket.ts';

export type ConnectionEnd = { readonly address: IpAddress; readonly port: number };

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h: offsets are ABI.
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const HEADER_BYTES = 16;
const REQUEST_BYTES = HEADER_BYTES + 56;
const ID_AT = HEADER_BYTES + 8;
const COOKIE_BYTES = 8;
const REQUEST_COOKIE_AT = REQUEST_BYTES - COOKIE_BYTES;
const ANSWER_STATE_AT = HEADER_BYTES + 1;
const ANSWER_COOKIE_AT = HEADER_BYTES + 4 + 48 - COOKIE_BYTES;
const TCP_LISTEN = 10;
const ALL_STATES = 0xffff_ffff;
const ANY_COOKIE = new Uint8Array(COOKIE_BYTES).fill(0xff);
/** The kernel answers at once, and with one message. */
const ANSWER_MAX_BYTES = 4096;

/**
 * Ends the socket of this network namespace that is connected from `local` to `remote`. Null when that is done, or when
 * there is none; otherwise why it cannot be done, as an errno's name.
 */
export function abortConnection(local: ConnectionEnd, remote: ConnectionEnd): string | null {
  const fd = newSocket({ domain: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_SOCK_DIAG });
  if (fd < 0) return errnoCode(-fd);
  try {
    const error = abortThrough(fd, local, remote);
    return error === 0 || error === ENOENT ? null : errnoCode(error);
  } finally {
    libc.close(fd);
  }
}

/**
 * Looked up first: without its cookie, a listener that has got the port meanwhile might be meant. Returns an errno, 0
 * for none.
 */
function abortThrough(fd: number, local: ConnectionEnd, remote: ConnectionEnd): number {
  const answer = Buffer.alloc(ANSWER_MAX_BYTES);
  const error = ask(fd, encodeRequest(SOCK_DIAG_BY_FAMILY, local, remote, ANY_COOKIE), answer);
  if (error !== 0 || answer[ANSWER_STATE_AT] === TCP_LISTEN) return error;
  const cookie = Buffer.from(answer.subarray(ANSWER_COOKIE_AT, ANSWER_COOKIE_AT + COOKIE_BYTES));
  return ask(fd, encodeRequest(SOCK_DESTROY, local, remote, cookie), answer);
}

function encodeRequest(
  type: number,
  local: ConnectionEnd,
  remote: ConnectionEnd,
  cookie: Uint8Array,
): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt32LE(REQUEST_BYTES, 0);
  request.writeUInt16LE(type, 4);
  request.writeUInt16LE(type === SOCK_DESTROY ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST, 6);
  request[HEADER_BYTES] = local.address.family === 'IPv4' ? AF_INET : AF_INET6;
  request[HEADER_BYTES + 1] = IPPROTO_TCP;
  request.writeUInt32LE(ALL_STATES, HEADER_BYTES + 4);
  request.writeUInt16BE(local.port, ID_AT);
  request.writeUInt16BE(remote.port, ID_AT + 2);
  request.set(local.address.octets, ID_AT + 4);
  request.set(remote.address.octets, ID_AT + 20);
  request.set(cookie, REQUEST_COOKIE_AT);
  return request;
}

/** The errno of the kernel's answer, which it has given when send returns; 0 for none. */
function ask(fd: number, request: Buffer, answer: Buffer): number {
  const sent = libc.send(fd, request, request.length, 0);
  if (sent < 0) return -sent;
  const received = libc.recv(fd, answer, answer.length, 0);
  if (received < 0) return -received;
  return answer.readUInt16LE(4) === NLMSG_ERROR ? -answer.readInt32LE(HEADER_BYTES) : 0;
}
