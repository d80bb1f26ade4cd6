/** Filters of ARP and IPv6 neighbour discovery. */
import type { IpAddress } from '../ip/address.ts';
import { addressIs, allOf, NETWORK_HEADER, octetIs, type SocketFilter } from './bpf.ts';
import { IPV6_HEADER_BYTES } from './frames.ts';

const ARP_SENDER_OFFSET = 14;
const IPV6_NEXT_HEADER_OFFSET = 6;
const ICMPV6_PROTOCOL = 58;
const NEIGHBOR_ADVERTISEMENT = 136;
const NEIGHBOR_TARGET_OFFSET = IPV6_HEADER_BYTES + 8;

const isNeighborAdvertisement = [
  ...octetIs(NETWORK_HEADER + IPV6_NEXT_HEADER_OFFSET, ICMPV6_PROTOCOL),
  ...octetIs(NETWORK_HEADER + IPV6_HEADER_BYTES, NEIGHBOR_ADVERTISEMENT),
];

/** Of all IPv6 packets, only neighbor advertisements (ICMPv6 type 136) without extension headers. */
export const NEIGHBOR_ADVERTISEMENTS: SocketFilter = allOf(isNeighborAdvertisement);

/** Of ARP (for an IPv4 address) or IPv6 packets, only those in which a host says that it has the address. */
export function claimsOf(address: IpAddress): SocketFilter {
  return address.family === 'IPv4'
    ? allOf(addressIs(NETWORK_HEADER + ARP_SENDER_OFFSET, address))
    : allOf([...isNeighborAdvertisement, ...addressIs(NETWORK_HEADER + NEIGHBOR_TARGET_OFFSET, address)]);
}
