/** Filters of packets that were sent on this link (RFC 5082), and of VRRP. */
import type { Family, IpAddress } from '../ip/address.ts';
import {
  ACCEPT,
  addressIs,
  allOf,
  checked,
  DROP,
  type Instruction,
  NETWORK_HEADER,
  octetIs,
  RETURN,
  type SocketFilter,
} from './bpf.ts';

const HOP_LIMIT_OFFSET: Record<Family, number> = { IPv4: 8, IPv6: 7 };
const IPV6_DESTINATION_OFFSET = 24;

/** Of all packets, only those with TTL or hop limit 255: sent on this link, as a router would have lowered it (RFC 5082). */
export const SENT_ON_LINK: Record<Family, SocketFilter> = {
  IPv4: allOf(isSentOnLink('IPv4')),
  IPv6: allOf(isSentOnLink('IPv6')),
};

/** What a filter leaves of a packet that was not sent on this link: enough to be counted. */
export const OFF_LINK_BYTES = 1;
const CUT: Instruction = [RETURN, 0, 0, OFF_LINK_BYTES];

/**
 * Of IPv6 packets, only those to one destination, and whole only with hop limit 255 (RFC 9568 5.1.2.3: others MUST be
 * discarded); of others OFF_LINK_BYTES are left. An IPv6 raw socket is told neither destination nor hop limit, and gets
 * every group that any process of the host has joined.
 */
export function hopLimit255To(destination: IpAddress): SocketFilter {
  const whole = [...checked(isSentOnLink('IPv6'), 1), ACCEPT, CUT];
  return [
    ...checked(addressIs(NETWORK_HEADER + IPV6_DESTINATION_OFFSET, destination), whole.length),
    ...whole,
    DROP,
  ];
}

function isSentOnLink(family: Family): Instruction[] {
  return octetIs(NETWORK_HEADER + HOP_LIMIT_OFFSET[family], 255);
}
