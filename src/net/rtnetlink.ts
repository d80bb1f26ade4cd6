/**
 * Links, addresses and the default route of this network namespace, read, leased and watched over rtnetlink(7).
 *
 * Three sockets, because the `netlink` package finds a reply by its sequence number alone and ends a dump at the first
 * message that is not part of it: `commands` carries changes, which must not wait behind a long dump; `queries` carries
 * dumps, one at a time; `notifications` carries what the kernel reports, which has the sequence number of whoever
 * caused it, and of which there may be too much.
 */
import {
  AttrStream,
  createNetlink,
  Flags,
  FlagsGet,
  FlagsNew,
  type NetlinkMessage,
  type NetlinkSocket,
  parseAttributes,
  parseError,
  parseMessages,
  putU32,
  readU16,
  readU32,
} from 'netlink';

import { type Family, type IpAddress, ipFromOctets } from '../ip/address.ts';
import { errnoCode, libc } from './libc.ts';
import { NetError } from './net-error.ts';
import { NotificationSocket } from './netlink-notifications.ts';

export type Link = {
  /** 1 and up; a link that is deleted and made again has another. */
  readonly index: number;
  readonly name: string;
  /** 6 octets; null for a link that is not Ethernet. */
  readonly mac: Uint8Array | null;
  /** Administratively up, with carrier, and operational. */
  readonly up: boolean;
};

export type InterfaceAddress = {
  readonly linkIndex: number;
  readonly address: IpAddress;
  /** 0-32 or 0-128 */
  readonly prefixLength: number;
  /** What was left of the kernel's lifetime, in whole seconds; null: for ever. */
  readonly validSeconds: number | null;
  /** Duplicate address detection (RFC 4862 5.4) has not ended, or has failed: the address cannot be used. */
  readonly tentative: boolean;
};

export type NetlinkChange =
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'linkRemoved'; readonly index: number; readonly name: string }
  | { readonly kind: 'addressAdded' | 'addressRemoved'; readonly address: InterfaceAddress };

/** An address to hold for as long as it is renewed. */
export type AddressLease = {
  readonly linkIndex: number;
  readonly address: IpAddress;
  /** Whole seconds, 1 and up. The kernel takes the address away up to half a second later than that. */
  readonly validSeconds: number;
};

/** A refused request. Codes: 'EPERM', 'ENODEV', 'EADDRNOTAVAIL', 'ETIMEDOUT', 'ENOBUFS', 'ECANCELED' (closed), ... */
export class NetlinkError extends NetError {
  override readonly name = 'NetlinkError';
}

/** The kernel answers within the system call; an answer that takes this long was lost. */
const REQUEST_TIMEOUT_MS = 2000;
const REQUEST_BUFFER_BYTES = 256 << 10;
/** A dump that something changed under it is begun again, at most so often (NLM_F_DUMP_INTR). */
const DUMP_ATTEMPTS = 4;
/** More leases than VIPs means that links come and go: begin anew. */
const CACHED_LEASES = 16;

const AF_BY_FAMILY: Record<Family, number> = { IPv4: 2, IPv6: 10 };
const HOST_PREFIX_BY_FAMILY: Record<Family, number> = { IPv4: 32, IPv6: 128 };
const FOREVER_SECONDS = 0xffffffff;

// linux/netlink.h, linux/rtnetlink.h
const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
/** RTNLGRP_LINK is group 1, RTNLGRP_IPV4_IFADDR 5, RTNLGRP_IPV6_IFADDR 9. */
const NOTIFICATION_GROUPS = (1 << 0) | (1 << 4) | (1 << 8);

// linux/if_addr.h
const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_NOPREFIXROUTE = 0x200;

// linux/if_link.h, linux/if.h, linux/if_arp.h
const IFINFOMSG_BYTES = 16;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 8;
const ARPHRD_ETHER = 1;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFF_LOWER_UP = 0x10000;
const UP_FLAGS = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

// linux/rtnetlink.h
const RTMSG_BYTES = 12;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTN_UNICAST = 1;
const RT_TABLE_MAIN = 254;

/** One namespace's rtnetlink. Usable in any thread; it keeps the event loop alive until closed. */
export class RtNetlink {
  readonly #commands: NetlinkSocket;
  readonly #queries: NetlinkSocket;
  readonly #notifications: NotificationSocket;
  readonly #commandsPort: number;
  readonly #queriesPort: number;
  readonly #encodedLeases = new Map<string, Uint8Array>();
  #lastQuery: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Opens the sockets. Needs no privilege. Throws NetlinkError.
   *
   * `onChange` hears of every change, also of those that this object makes: each renewal is an `addressAdded`. (The
   * kernel says who caused a change of an IPv4 address, but not of an IPv6 one.)
   * `onError` hears that notifications were lost (NetlinkError ENOBUFS): read links and addresses again.
   */
  static open(onChange: (change: NetlinkChange) => void, onError: (error: Error) => void): RtNetlink {
    return new RtNetlink(onChange, onError);
  }

  private constructor(onChange: (change: NetlinkChange) => void, onError: (error: Error) => void) {
    const fail = (what: string) => (error: unknown) => {
      if (!this.#closed) onError(netlinkError(what, error));
    };
    const opened: { close(): void }[] = [];
    const open = <Socket extends { close(): void }>(socket: Socket): Socket => {
      opened.push(socket);
      return socket;
    };
    try {
      this.#commands = open(openRequestSocket());
      this.#queries = open(openRequestSocket());
      this.#commandsPort = this.#commands.address().port;
      this.#queriesPort = this.#queries.address().port;
      this.#notifications = new NotificationSocket(NOTIFICATION_GROUPS, {
        onDatagram: (datagram) => this.#notify(datagram, onChange),
        onError: fail('notifications of link and address changes were lost'),
      });
    } catch (error) {
      for (const socket of opened) socket.close();
      throw netlinkError('cannot open rtnetlink', error);
    }
    // The request that missed its answer times out by itself.
    for (const socket of [this.#commands, this.#queries]) {
      socket.on('error', fail('a netlink socket for requests failed'));
    }
  }

  /** All links. Throws NetlinkError. */
  async links(): Promise<Link[]> {
    const request = new AttrStream();
    request.emit(Buffer.alloc(IFINFOMSG_BYTES));
    request.push(IFLA_EXT_MASK, putU32(RTEXT_FILTER_SKIP_STATS));
    const messages = await this.#dump(RTM_GETLINK, Buffer.concat(request.bufs));
    return messages.map((message) => parseLink(message.data)).filter((link) => link !== null);
  }

  /** All addresses of all links, of both families. Throws NetlinkError. */
  async addresses(): Promise<InterfaceAddress[]> {
    const messages = await this.#dump(RTM_GETADDR, Buffer.alloc(IFADDRMSG_BYTES));
    return messages.map((message) => parseAddress(message.data)).filter((address) => address !== null);
  }

  /** The link of the default route in the main table, the one of lowest metric; null: none. Throws NetlinkError. */
  async defaultRouteLinkIndex(family: Family): Promise<number | null> {
    const request = Buffer.alloc(RTMSG_BYTES);
    request[0] = AF_BY_FAMILY[family];
    let best: DefaultRoute | null = null;
    for (const message of await this.#dump(RTM_GETROUTE, request)) {
      const route = parseDefaultRoute(message.data);
      if (route !== null && (best === null || route.metric < best.metric)) best = route;
    }
    return best?.linkIndex ?? null;
  }

  /**
   * Adds the address, or renews it: a /32 or /128 that the kernel takes away `validSeconds` after the last renewal,
   * deprecated (so never chosen as a source address) and usable at once (no duplicate address detection).
   * Throws NetlinkError: EPERM without CAP_NET_ADMIN, ENODEV when the link is gone.
   */
  async leaseAddress(lease: AddressLease): Promise<void> {
    const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
    const what = `cannot add ${lease.address.text} to link ${lease.linkIndex}`;
    await this.#command(what, RTM_NEWADDR, this.#encodedLease(lease), flags);
  }

  /**
   * Removes the address as leased, or else as somebody else configured it, whatever its prefix length; false when the
   * link does not have it, or is gone. Throws NetlinkError.
   */
  async removeAddress(linkIndex: number, address: IpAddress): Promise<boolean> {
    if (await this.#deleteAddress(linkIndex, address, HOST_PREFIX_BY_FAMILY[address.family])) return true;
    for (const other of await this.addresses()) {
      if (other.linkIndex !== linkIndex || other.address.text !== address.text) continue;
      if (await this.#deleteAddress(linkIndex, address, other.prefixLength)) return true;
    }
    return false;
  }

  /** Ends notifications at once; a request under way is rejected within two seconds. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#notifications.close();
    // Not within a callback of the sockets themselves, which go on to use what closing frees.
    setImmediate(() => {
      for (const socket of [this.#commands, this.#queries]) socket.close();
    });
  }

  #notify(datagram: Buffer, onChange: (change: NetlinkChange) => void): void {
    for (const message of parseMessages(datagram)) {
      const change = parseChange(message);
      if (change !== null && !this.#closed) onChange(change);
    }
  }

  /** The same octets twice a second: made once. */
  #encodedLease(lease: AddressLease): Uint8Array {
    const key = `${lease.linkIndex} ${lease.validSeconds} ${lease.address.text}`;
    const cached = this.#encodedLeases.get(key);
    if (cached !== undefined) return cached;
    const encoded = encodeLease(lease);
    if (this.#encodedLeases.size >= CACHED_LEASES) this.#encodedLeases.clear();
    this.#encodedLeases.set(key, encoded);
    return encoded;
  }

  async #deleteAddress(linkIndex: number, address: IpAddress, prefixLength: number): Promise<boolean> {
    const request = encodeAddress(linkIndex, address, prefixLength);
    try {
      const what = `cannot remove ${address.text} from link ${linkIndex}`;
      await this.#command(what, RTM_DELADDR, Buffer.concat(request.bufs), 0);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && NO_SUCH_ADDRESS.has(error.code)) return false;
      throw error;
    }
  }

  /** Asks for a change and waits for its acknowledgement. */
  async #command(what: string, type: number, data: Uint8Array, flags: number): Promise<void> {
    const port = this.#commandsPort;
    await this.#request(this.#commands, what, type, { data, flags, port });
  }

  /** Asks for everything of a kind, after earlier dumps have ended, and again while it changes under the dump. */
  async #dump(type: number, data: Uint8Array): Promise<NetlinkMessage[]> {
    const once = async () =>
      this.#request(this.#queries, 'cannot read the network configuration', type, {
        data,
        flags: FlagsGet.DUMP,
        port: this.#queriesPort,
      });
    const query = this.#lastQuery.then(async () => {
      let messages = await once();
      for (let attempt = 1; attempt < DUMP_ATTEMPTS && messages.some(isInterrupted); attempt += 1) {
        messages = await once();
      }
      return messages;
    });
    this.#lastQuery = query.catch(() => {});
    return query;
  }

  async #request(
    socket: NetlinkSocket,
    what: string,
    type: number,
    { data, flags, port }: { data: Uint8Array; flags: number; port: number },
  ): Promise<NetlinkMessage[]> {
    if (this.#closed) throw new NetlinkError('ECANCELED', `${what}: rtnetlink is closed`);
    let messages: NetlinkMessage[];
    try {
      // With the port given, no getsockname(2) for each; with checkError off, the error is a number and not a text.
      const options = { flags, localPort: port, timeout: REQUEST_TIMEOUT_MS, checkError: false };
      [messages] = await socket.request(type, data, options);
    } catch (error) {
      throw netlinkError(what, error);
    }
    const [first] = messages;
    if (first?.type === NLMSG_ERROR) throwIfRefused(what, first);
    return messages;
  }
}

/** What removing an address says when there is none: no such address, no such link, no IPv6 on the link. */
const NO_SUCH_ADDRESS = new Set(['EADDRNOTAVAIL', 'ENODEV', 'ENXIO']);

function openRequestSocket(): NetlinkSocket {
  const bufferBytes = REQUEST_BUFFER_BYTES;
  return createNetlink(NETLINK_ROUTE, { recvBufferSize: bufferBytes, sendBufferSize: bufferBytes });
}

/** Errno 0 is an acknowledgement. */
function throwIfRefused(what: string, message: NetlinkMessage): void {
  const errno = -parseError(message.data, message.flags).errno;
  if (errno === 0) return;
  const code = errnoCode(errno);
  const reason = code === 'EPERM' ? 'this needs CAP_NET_ADMIN' : libc.strerror(errno);
  throw new NetlinkError(code, `${what}: ${reason}`);
}

/** The library's system errors have a code; its only error without one is that no answer came in time. */
function netlinkError(what: string, cause: unknown): NetlinkError {
  const code = (cause as { code?: unknown }).code;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new NetlinkError(typeof code === 'string' ? code : 'ETIMEDOUT', `${what}: ${reason}`, { cause });
}

function isInterrupted(message: NetlinkMessage): boolean {
  return (message.flags & Flags.DUMP_INTR) !== 0;
}

/** struct ifaddrmsg and the address as both local and prefix address (linux/if_addr.h). */
function encodeAddress(linkIndex: number, address: IpAddress, prefixLength: number): AttrStream {
  const header = Buffer.alloc(IFADDRMSG_BYTES);
  header[0] = AF_BY_FAMILY[address.family];
  header[1] = prefixLength;
  header.set(putU32(linkIndex), 4);
  const message = new AttrStream();
  message.emit(header);
  message.push(IFA_LOCAL, address.octets);
  message.push(IFA_ADDRESS, address.octets);
  return message;
}

function encodeLease(lease: AddressLease): Uint8Array {
  const message = encodeAddress(lease.linkIndex, lease.address, HOST_PREFIX_BY_FAMILY[lease.address.family]);
  // struct ifa_cacheinfo: preferred, valid, and two timestamps that only the kernel writes.
  message.push(IFA_CACHEINFO, Buffer.concat([putU32(0), putU32(lease.validSeconds), putU32(0), putU32(0)]));
  // No route for the /128: the kernel would rewrite it, and tell every listener, on each renewal.
  if (lease.address.family === 'IPv6') message.push(IFA_FLAGS, putU32(IFA_F_NODAD | IFA_F_NOPREFIXROUTE));
  return Buffer.concat(message.bufs);
}

function parseChange(message: NetlinkMessage): NetlinkChange | null {
  switch (message.type) {
    case RTM_NEWLINK: {
      const link = parseLink(message.data);
      return link === null ? null : { kind: 'link', link };
    }
    case RTM_DELLINK: {
      const link = parseLink(message.data);
      return link === null ? null : { kind: 'linkRemoved', index: link.index, name: link.name };
    }
    case RTM_NEWADDR: {
      const address = parseAddress(message.data);
      return address === null ? null : { kind: 'addressAdded', address };
    }
    case RTM_DELADDR: {
      const address = parseAddress(message.data);
      return address === null ? null : { kind: 'addressRemoved', address };
    }
    default:
      return null;
  }
}

/** struct ifinfomsg; null when the message is about a link's place in a bridge, which is not the link itself. */
function parseLink(data: Buffer): Link | null {
  if (data.length < IFINFOMSG_BYTES || data[0] !== 0) return null;
  const isEthernet = readU16.call(data, 2) === ARPHRD_ETHER;
  const flags = u32At(data, 8);
  let name = '';
  let mac: Uint8Array | null = null;
  parseAttributes(data.subarray(IFINFOMSG_BYTES), (attribute) => {
    if (attribute.type === IFLA_IFNAME) name = attribute.data.toString('utf8', 0, attribute.data.length - 1);
    if (attribute.type === IFLA_ADDRESS && isEthernet) mac = Uint8Array.from(attribute.data);
  });
  return { index: u32At(data, 4), name, mac, up: (flags & UP_FLAGS) === UP_FLAGS };
}

/** struct ifaddrmsg; null when it is of another family than IPv4 and IPv6. */
function parseAddress(data: Buffer): InterfaceAddress | null {
  if (data.length < IFADDRMSG_BYTES) return null;
  let prefixAddress: Buffer | null = null;
  let local: Buffer | null = null;
  let flags = data[2] ?? 0;
  let validSeconds = FOREVER_SECONDS;
  parseAttributes(data.subarray(IFADDRMSG_BYTES), (attribute) => {
    if (attribute.type === IFA_ADDRESS) prefixAddress = attribute.data;
    if (attribute.type === IFA_LOCAL) local = attribute.data;
    if (attribute.type === IFA_FLAGS) flags = u32At(attribute.data, 0);
    if (attribute.type === IFA_CACHEINFO) validSeconds = u32At(attribute.data, 4);
  });
  // On a point-to-point link IFA_ADDRESS is the other end.
  const octets = (local ?? prefixAddress) as Buffer | null;
  if (octets === null || (octets.length !== 4 && octets.length !== 16)) return null;
  return {
    linkIndex: u32At(data, 4),
    address: ipFromOctets(octets),
    prefixLength: data[1] ?? 0,
    validSeconds: validSeconds === FOREVER_SECONDS ? null : validSeconds,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
  };
}

type DefaultRoute = { readonly linkIndex: number; readonly metric: number };

/** struct rtmsg; null when it is not a unicast default route of the main table, or leads to no link. */
function parseDefaultRoute(data: Buffer): DefaultRoute | null {
  if (data.length < RTMSG_BYTES || data[1] !== 0 || data[4] !== RT_TABLE_MAIN || data[7] !== RTN_UNICAST)
    return null;
  let linkIndex: number | null = null;
  let metric = 0;
  parseAttributes(data.subarray(RTMSG_BYTES), (attribute) => {
    if (attribute.type === RTA_OIF) linkIndex = u32At(attribute.data, 0);
    // struct rtnexthop: length, flags, weight, link; the first of several ways is as good as any.
    if (attribute.type === RTA_MULTIPATH) linkIndex = u32At(attribute.data, 4);
    if (attribute.type === RTA_PRIORITY) metric = u32At(attribute.data, 0);
  });
  return linkIndex === null ? null : { linkIndex, metric };
}

/** In the host's byte order. */
function u32At(data: Buffer, offset: number): number {
  return readU32.call(data, offset);
}
