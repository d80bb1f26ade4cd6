/**
 * Ends a TCP connection from the outside, by its addresses, through sock_diag(7): SOCK_DESTROY, there since Linux 4.5
 * where the kernel has CONFIG_INET_DIAG_DESTROY. Its owner gets ECONNABORTED. Needs CAP_NET_ADMIN. Works in any thread.
 */
import type { IpAddress } from '../ip/address.ts';
import { EAGAIN, errno } from './errno.ts';
import { errnoCode } from './libc.ts';
import { AF_INET, AF_INET6 } from './socket-address.ts';
import { calls, FixedMemory, IPPROTO_TCP, NONBLOCK_CLOEXEC } from './tcp-calls.ts';

export type ConnectionEnd = { readonly address: IpAddress; readonly port: number };

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h: offsets are ABI.
const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOCK_RAW = 3;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const NLMSG_ERROR = 2;
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
const NO_COOKIE = 0xff;
const ENOENT = 2;

const memory = new FixedMemory(4096);
const view = Buffer.from(memory.bytes.buffer);

/**
 * Ends the socket of this network namespace that is connected from `local` to `remote`. Null when that is done, or when
 * there is none; otherwise why it cannot be done, as an errno's name.
 */
export function abortConnection(local: ConnectionEnd, remote: ConnectionEnd): string | null {
  const fd = calls.socket(AF_NETLINK, SOCK_RAW | NONBLOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return errnoCode(errno());
  try {
    return abortThrough(fd, local, remote);
  } finally {
    calls.close(fd);
  }
}

/** Looked up first: without its cookie, a listener that has got the port meanwhile might be meant. */
function abortThrough(fd: number, local: ConnectionEnd, remote: ConnectionEnd): string | null {
  writeRequest(SOCK_DIAG_BY_FAMILY, local, remote, null);
  const found = ask(fd);
  if (found !== 0) return found === ENOENT ? null : errnoCode(found);
  if (view[ANSWER_STATE_AT] === TCP_LISTEN) return null;
  const cookie = Buffer.from(view.subarray(ANSWER_COOKIE_AT, ANSWER_COOKIE_AT + COOKIE_BYTES));
  writeRequest(SOCK_DESTROY, local, remote, cookie);
  const destroyed = ask(fd);
  return destroyed === 0 || destroyed === ENOENT ? null : errnoCode(destroyed);
}

function writeRequest(
  type: number,
  local: ConnectionEnd,
  remote: ConnectionEnd,
  cookie: Uint8Array | null,
): void {
  view.fill(0, 0, REQUEST_BYTES);
  view.writeUInt32LE(REQUEST_BYTES, 0);
  view.writeUInt16LE(type, 4);
  view.writeUInt16LE(type === SOCK_DESTROY ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST, 6);
  view[HEADER_BYTES] = local.address.family === 'IPv4' ? AF_INET : AF_INET6;
  view[HEADER_BYTES + 1] = IPPROTO_TCP;
  view.writeUInt32LE(0xffff_ffff, HEADER_BYTES + 4);
  view.writeUInt16BE(local.port, ID_AT);
  view.writeUInt16BE(remote.port, ID_AT + 2);
  view.set(local.address.octets, ID_AT + 4);
  view.set(remote.address.octets, ID_AT + 20);
  if (cookie === null) view.fill(NO_COOKIE, REQUEST_COOKIE_AT, REQUEST_BYTES);
  else view.set(cookie, REQUEST_COOKIE_AT);
}

/** The kernel has answered when send returns. The errno of its answer, 0 for none; the answer is in `view`. */
function ask(fd: number): number {
  if (calls.send(fd, memory.address, REQUEST_BYTES, 0) < 0) return errno();
  if (calls.recv(fd, memory.address, view.length, 0) < 0) return errno() || EAGAIN;
  return view.readUInt16LE(4) === NLMSG_ERROR ? -view.readInt32LE(HEADER_BYTES) : 0;
}
