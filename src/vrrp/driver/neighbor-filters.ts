/** Filters of ARP and IPv6 neighbor discovery, for packet sockets of one Ethernet link. */
import type { IpAddress } from '../../ip/address.ts';
import { addressIs, allOf, octetIs, type SocketFilter } from '../../net/bpf.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/frames.ts';
import { IP_LAYOUT, PROTOCOL_ICMPV6 } from '../../wire/ip.ts';

const ARP_SENDER_OFFSET = 14;
const ICMPV6_OFFSET = IP_LAYOUT.IPv6.headerBytes;
const NEIGHBOR_ADVERTISEMENT = 136;
const NEIGHBOR_TARGET_OFFSET = ICMPV6_OFFSET + 8;

const isNeighborAdvertisement = [
  ...octetIs(ETHERNET_HEADER_BYTES + IP_LAYOUT.IPv6.protocolAt, PROTOCOL_ICMPV6),
  ...octetIs(ETHERNET_HEADER_BYTES + ICMPV6_OFFSET, NEIGHBOR_ADVERTISEMENT),
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
