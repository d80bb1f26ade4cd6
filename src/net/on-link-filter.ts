/**
 * Filters of packets that were sent on this link: with TTL or hop limit 255, as a router would have lowered it
 * (RFC 5082). For sockets of IP, whose packets have an IP header that the kernel has already read.
 */
import type { Family } from '../ip/address.ts';
import { IP_LAYOUT } from '../wire/ip.ts';
import { allOf, type Instruction, NETWORK_HEADER, octetIs, type SocketFilter } from './bpf.ts';

/** The check itself, as a part of a longer filter. */
export function isSentOnLink(family: Family): Instruction[] {
  return octetIs(NETWORK_HEADER + IP_LAYOUT[family].hopLimitAt, 255);
}

/** Of all packets, only those that were sent on this link. */
export const SENT_ON_LINK: Record<Family, SocketFilter> = {
  IPv4: allOf(isSentOnLink('IPv4')),
  IPv6: allOf(isSentOnLink('IPv6')),
};
