/**
 * Asks the kernel where a packet to an address would go, with all tables and rules (rtnetlink(7), RTM_GETROUTE). Since
 * Linux 4.14 it answers without its configuration lock (rtnl), so any thread may ask.
 */
import { type IpAddress, HOST_PREFIX_BY_FAMILY } from '../ip/address.ts';
import { callError, libc, required } from './libc.ts';
import { AF_INET, AF_INET6, AF_NETLINK, NETLINK_ROUTE, SOCK_RAW } from './linux.ts';
import { openSocket } from './socket.ts';

const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
// struct nlmsghdr, struct rtmsg and struct rtattr
const HEADER_BYTES = 16;
const ROUTE_BYTES = 12;
const ATTRIBUTE_BYTES = 4;
const TYPE_AT = HEADER_BYTES + 7;
const ATTRIBUTES_AT = HEADER_BYTES + ROUTE_BYTES;
const ANSWER_BYTES = 4096;

/** `host`: the address is this host's own. */
export type RouteTarget = { readonly kind: 'host' } | { readonly kind: 'link'; readonly linkIndex: number };

export class RouteLookup {
  readonly #fd: number;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #closed = false;

  /** Throws NetError. */
  constructor() {
    const kind = { domain: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_ROUTE };
    this.#fd = openSocket(kind, 'cannot open a netlink socket', () => {});
  }

  /** Null when no route leads there. Throws NetError when the kernel gives no answer. */
  find(address: IpAddress): RouteTarget | null {
    const request = encodeRequest(address);
    required(libc.send(this.#fd, request, request.length, 0), `cannot ask for the route to ${address.text}`);
    const bytes = libc.recv(this.#fd, this.#answer, this.#answer.length, 0);
    if (bytes < 0) throw callError(bytes, `no answer about the route to ${address.text}`);
    return parseAnswer(this.#answer.subarray(0, bytes));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}

function encodeRequest({ family, octets }: IpAddress): Buffer {
  const request = Buffer.alloc(ATTRIBUTES_AT + ATTRIBUTE_BYTES + octets.length);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(RTM_GETROUTE, 4);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  request[HEADER_BYTES] = family === 'IPv4' ? AF_INET : AF_INET6;
  request[HEADER_BYTES + 1] = HOST_PREFIX_BY_FAMILY[family];
  request.writeUInt16LE(ATTRIBUTE_BYTES + octets.length, ATTRIBUTES_AT);
  request.writeUInt16LE(RTA_DST, ATTRIBUTES_AT + 2);
  request.set(octets, ATTRIBUTES_AT + ATTRIBUTE_BYTES);
  return request;
}

function parseAnswer(answer: Buffer): RouteTarget | null {
  if (answer.length < ATTRIBUTES_AT || answer.readUInt16LE(4) !== RTM_NEWROUTE) return null;
  if (answer[TYPE_AT] === RTN_LOCAL) return { kind: 'host' };
  if (answer[TYPE_AT] !== RTN_UNICAST) return null;
  for (let at = ATTRIBUTES_AT; at + ATTRIBUTE_BYTES + 4 <= answer.length;) {
    const length = answer.readUInt16LE(at);
    if (answer.readUInt16LE(at + 2) === RTA_OIF)
      return { kind: 'link', linkIndex: answer.readUInt32LE(at + ATTRIBUTE_BYTES) };
    // Attributes begin at multiples of 4; one that is shorter than its header is none.
    at += Math.max(ATTRIBUTE_BYTES, (length + 3) & ~3);
  }
  return null;
}
