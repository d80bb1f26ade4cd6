/** The rtnetlink messages about links, addresses and routes, as values and back (linux/rtnetlink.h). Pure. */
import { AttrStream, type NetlinkMessage, parseAttributes, putU32, readU16, readU32 } from 'netlink';

import { type Family, type IpAddress, ipFromOctets, HOST_PREFIX_BY_FAMILY } from '../ip/address.ts';

export type Link = {
  /** 1 and up; a link that is deleted and made again has another. */
  readonly index: number;
  readonly name: string;
  /** Further names that the kernel knows it by ("altname" in `ip link`). */
  readonly altNames: readonly string[];
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

const AF_BY_FAMILY: Record<Family, number> = { IPv4: 2, IPv6: 10 };
const FOREVER_SECONDS = 0xffffffff;

// linux/netlink.h, linux/rtnetlink.h
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_GETROUTE = 26;

// linux/if_addr.h
export const IFADDRMSG_BYTES = 8;
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
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
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;
/** Without the mark of an attribute that holds others (linux/netlink.h). */
const NLA_TYPE_MASK = 0x3fff;
const RTEXT_FILTER_SKIP_STATS = 8;
const ARPHRD_ETHER = 1;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFF_LOWER_UP = 0x10000;
const UP_FLAGS = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

// linux/rtnetlink.h
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_VIA = 18;
/** What a route has that leads to its destination by way of others. */
const WAYS: ReadonlySet<number> = new Set([RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA]);
const RTN_UNICAST = 1;
const RT_TABLE_MAIN = 254;

/** Asks for all links, without their statistics. */
export function encodeLinksRequest(): Uint8Array {
  const request = new AttrStream();
  request.emit(Buffer.alloc(IFINFOMSG_BYTES));
  request.push(IFLA_EXT_MASK, putU32(RTEXT_FILTER_SKIP_STATS));
  return Buffer.concat(request.bufs);
}

/** Asks for all addresses of both families. */
export function encodeAddressesRequest(): Uint8Array {
  return Buffer.alloc(IFADDRMSG_BYTES);
}

/** Asks for the routes of one family. */
export function encodeRoutesRequest(family: Family): Uint8Array {
  const request = Buffer.alloc(RTMSG_BYTES);
  request[0] = AF_BY_FAMILY[family];
  return request;
}

/** Names the address to remove, which the kernel knows by its prefix length, too. */
export function encodeRemoval(linkIndex: number, address: IpAddress, prefixLength: number): Uint8Array {
  return Buffer.concat(encodeAddress(linkIndex, address, prefixLength).bufs);
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

/** An address that ends `validSeconds` after this message and is never chosen as a source. */
export function encodeLease(lease: AddressLease): Uint8Array {
  const message = encodeAddress(lease.linkIndex, lease.address, HOST_PREFIX_BY_FAMILY[lease.address.family]);
  // struct ifa_cacheinfo: preferred, valid, and two timestamps that only the kernel writes.
  message.push(IFA_CACHEINFO, Buffer.concat([putU32(0), putU32(lease.validSeconds), putU32(0), putU32(0)]));
  // No route for the /128: the kernel would rewrite it, and tell every listener, on each renewal.
  if (lease.address.family === 'IPv6') message.push(IFA_FLAGS, putU32(IFA_F_NODAD | IFA_F_NOPREFIXROUTE));
  return Buffer.concat(message.bufs);
}

/** What a notification says; null when it is about something else. */
export function parseChange(message: NetlinkMessage): NetlinkChange | null {
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
export function parseLink(data: Buffer): Link | null {
  if (data.length < IFINFOMSG_BYTES || data[0] !== 0) return null;
  const isEthernet = readU16.call(data, 2) === ARPHRD_ETHER;
  const flags = u32At(data, 8);
  let name = '';
  let altNames: string[] = [];
  let mac: Uint8Array | null = null;
  parseAttributes(data.subarray(IFINFOMSG_BYTES), (attribute) => {
    if (attribute.type === IFLA_IFNAME) name = textOf(attribute.data);
    if ((attribute.type & NLA_TYPE_MASK) === IFLA_PROP_LIST) altNames = altNamesIn(attribute.data);
    if (attribute.type === IFLA_ADDRESS && isEthernet) mac = Uint8Array.from(attribute.data);
  });
  return { index: u32At(data, 4), name, altNames, mac, up: (flags & UP_FLAGS) === UP_FLAGS };
}

function altNamesIn(properties: Buffer): string[] {
  const names: string[] = [];
  parseAttributes(properties, ({ type, data }) => {
    if (type === IFLA_ALT_IFNAME) names.push(textOf(data));
  });
  return names;
}

/** Without the zero at its end. */
function textOf(data: Buffer): string {
  return data.toString('utf8', 0, data.length - 1);
}

/** struct ifaddrmsg; null when it is of another family than IPv4 and IPv6. */
export function parseAddress(data: Buffer): InterfaceAddress | null {
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

/** Where a default route leads, or a network whose hosts are asked for on the link itself. */
export type Route = {
  readonly linkIndex: number;
  /** The network's address; the default route's is all zero. */
  readonly address: IpAddress;
  /** 0-32 or 0-128; 0: the default route. */
  readonly prefixLength: number;
  readonly metric: number;
};

/** struct rtmsg; null when it is no unicast route of the main table, or is neither the default route nor on-link. */
export function parseRoute(data: Buffer): Route | null {
  if (data.length < RTMSG_BYTES || data[4] !== RT_TABLE_MAIN || data[7] !== RTN_UNICAST) return null;
  const prefixLength = data[1] ?? 0;
  let octets = new Uint8Array(data[0] === AF_BY_FAMILY.IPv6 ? 16 : 4);
  let linkIndex: number | null = null;
  let metric = 0;
  let isOnLink = true;
  parseAttributes(data.subarray(RTMSG_BYTES), (attribute) => {
    if (attribute.type === RTA_DST) octets = Uint8Array.from(attribute.data);
    if (attribute.type === RTA_OIF) linkIndex = u32At(attribute.data, 0);
    // struct rtnexthop: length, flags, weight, link; the first of several ways is as good as any.
    if (attribute.type === RTA_MULTIPATH) linkIndex = u32At(attribute.data, 4);
    if (attribute.type === RTA_PRIORITY) metric = u32At(attribute.data, 0);
    if (WAYS.has(attribute.type)) isOnLink = false;
  });
  if (linkIndex === null || (prefixLength > 0 && !isOnLink)) return null;
  return { linkIndex, address: ipFromOctets(octets), prefixLength, metric };
}

/** In the host's byte order. */
function u32At(data: Buffer, offset: number): number {
  return readU32.call(data, offset);
}
