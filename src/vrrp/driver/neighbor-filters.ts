/** Filters of ARP and IPv6 neighbour discovery, for packet sockets of one Ethernet link. */
import type { IpAddress } from '../../ip/address.ts';
import { addressIs, allOf, octetIs, type SocketFilter } from '../../net/bpf.ts';
import { ETHERNET_HEADER_BYTES, IPV6_HEADER_BYTES } from '../../wire/frames.ts';

const ARP_SENDER_OFFSET = 14;
const IPV6_NEXT_HEADER_OFFSET = 6;
const ICMPV6_PROTOCOL = 58;
const NEIGHBOR_ADVERTISEMENT = 136;
const NEIGHBOR_TARGET_OFFSET = IPV6_HEADER_BYTES + 8;

const isNeighborAdvertisement = [
  ...octetIs(ETHERNET_HEADER_BYTES + IPV6_NEXT_HEADER_OFFSET, ICMPV6_PROTOCOL),
  ...octetIs(ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES, NEIGHBOR_ADVERTISEMENT),
];

/** Of all IPv6 packets, only neighbor advertisements (ICMPv6 type 136) without extension headers. */
export const NEIGHBOR_ADVERTISEMENTS: SocketFilter = allOf(isNeighborAdvertisement);

/** Of ARP (for an IPv4 address) or IPv6 packets, only those in which a host says that it has the address. */
export function claimsOf(address: IpAddress): SocketFilter {
  return address.family === 'IPv4'
    ? allOf(addressIs(ETHERNET_HEADER_BYTES + ARP_SENDER_OFFSET, address))
    : allOf([
        ...isNeighborAdvertisement,
        ...addressIs(ETHERNET_HEADER_BYTES + NEIGHBOR_TARGET_OFFSET, address),
      ]);
}
