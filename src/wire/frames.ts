/** Ethernet frames, those of ARP (RFC 826) and neighbor discovery (RFC 4861), between octets and values. Pure. */
import type { IpAddress } from '../ip/address.ts';
import { internetChecksum, pseudoHeaderSum } from './checksum.ts';
import { IP_LAYOUT, PROTOCOL_ICMPV6 } from './ip.ts';
import { hasOctetsAt, readU16, writeU16 } from './octets.ts';

export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;

export const ETHERNET_HEADER_BYTES = 14;
const ARP_BYTES = 28;
const IPV6_HEADER_BYTES = IP_LAYOUT.IPv6.headerBytes;
/** Neighbor solicitation and advertisement: type to target address (RFC 4861 4.3, 4.4), then one link-layer option. */
const NEIGHBOR_MESSAGE_BYTES = 24;
const LINK_LAYER_OPTION_BYTES = 8;

const MAC_BYTES = 6;
const BROADCAST_MAC = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
const ZERO_MAC = new Uint8Array(MAC_BYTES);

const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
const SOURCE_LINK_LAYER_OPTION = 1;
const TARGET_LINK_LAYER_OPTION = 2;
const ROUTER_FLAG = 0x80;
const OVERRIDE_FLAG = 0x20;

const ALL_NODES = Uint8Array.of(0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const UNSPECIFIED_IPV6 = new Uint8Array(16);
const UNSPECIFIED_IPV4 = new Uint8Array(4);

/**
 * The broadcast ARP request by which `mac` claims an IPv4 address: sender and target are the address. A request with
 * target hardware address ff:ff:ff:ff:ff:ff, not a reply, because that is what every VRRP router in use sends.
 */
export function gratuitousArp(mac: Uint8Array, address: IpAddress): Uint8Array {
  return arpRequest(mac, address.octets, BROADCAST_MAC, address.octets);
}

/**
 * The broadcast ARP request that asks who has `target`. Without a sender address it is the ARP Probe of RFC 5227
 * 2.1.1, which changes no neighbor's cache and which proxy ARP does not answer.
 */
export function arpQuestion(mac: Uint8Array, sender: IpAddress | null, target: IpAddress): Uint8Array {
  return arpRequest(mac, sender === null ? UNSPECIFIED_IPV4 : sender.octets, ZERO_MAC, target.octets);
}

/** RFC 826: Ethernet, IPv4, request. */
function arpRequest(
  mac: Uint8Array,
  sender: Uint8Array,
  targetMac: Uint8Array,
  target: Uint8Array,
): Uint8Array {
  const frame = ethernetFrame(BROADCAST_MAC, mac, ETHERTYPE_ARP, ARP_BYTES);
  frame.set([0, 1, 0x08, 0, MAC_BYTES, 4, 0, 1], 14);
  frame.set(mac, 22);
  frame.set(sender, 28);
  frame.set(targetMac, 32);
  frame.set(target, 38);
  return frame;
}

/**
 * The hardware address that claims IPv4 `address` in an ARP frame, request or reply alike (RFC 5227 2.1.1: any ARP
 * packet whose sender is the probed address); null when the frame is something else.
 */
export function arpClaim(frame: Uint8Array, address: IpAddress): Uint8Array | null {
  if (frame.length < ETHERNET_HEADER_BYTES + ARP_BYTES) return null;
  if (readU16(frame, 12) !== ETHERTYPE_ARP) return null;
  const isEthernetIpv4 =
    readU16(frame, 14) === 1 && readU16(frame, 16) === 0x0800 && frame[18] === MAC_BYTES && frame[19] === 4;
  if (!isEthernetIpv4 || !hasOctetsAt(frame, 28, address.octets)) return null;
  return frame.slice(22, 28);
}

/**
 * The unsolicited neighbor advertisement by which `mac` claims an IPv6 address (RFC 4861 7.2.6): from the address
 * itself to all nodes, Override set, Solicited clear, with the target link-layer address.
 */
export function unsolicitedNeighborAdvertisement(
  mac: Uint8Array,
  address: IpAddress,
  router: boolean,
): Uint8Array {
  const frame = neighborFrame(
    mac,
    address.octets,
    ALL_NODES,
    NEIGHBOR_MESSAGE_BYTES + LINK_LAYER_OPTION_BYTES,
  );
  frame[54] = NEIGHBOR_ADVERTISEMENT;
  frame[58] = OVERRIDE_FLAG | (router ? ROUTER_FLAG : 0);
  frame.set(address.octets, 62);
  writeLinkLayerOption(frame, TARGET_LINK_LAYER_OPTION, mac);
  return withIcmpv6Checksum(frame);
}

/**
 * The neighbor solicitation that asks who has `target`. Without a sender address it comes from the unspecified
 * address and carries no option, as in duplicate address detection (RFC 4862 5.4.2), and is answered to all nodes.
 */
export function neighborSolicitation(
  mac: Uint8Array,
  sender: IpAddress | null,
  target: IpAddress,
): Uint8Array {
  const source = sender === null ? UNSPECIFIED_IPV6 : sender.octets;
  const bytes = NEIGHBOR_MESSAGE_BYTES + (sender === null ? 0 : LINK_LAYER_OPTION_BYTES);
  const frame = neighborFrame(mac, source, solicitedNodeGroup(target.octets), bytes);
  frame[54] = NEIGHBOR_SOLICITATION;
  frame.set(target.octets, 62);
  if (sender !== null) writeLinkLayerOption(frame, SOURCE_LINK_LAYER_OPTION, mac);
  return withIcmpv6Checksum(frame);
}

/**
 * The hardware address that claims IPv6 `address` in a neighbor advertisement; null when the frame is something else
 * or fails a check of RFC 4861 7.1.2. Without a target link-layer option it is the frame's own source.
 */
export function neighborClaim(frame: Uint8Array, address: IpAddress): Uint8Array | null {
  const headersBytes = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;
  if (frame.length < headersBytes + NEIGHBOR_MESSAGE_BYTES) return null;
  if (readU16(frame, 12) !== ETHERTYPE_IPV6 || frame[20] !== PROTOCOL_ICMPV6 || frame[21] !== 255)
    return null;
  const end = headersBytes + readU16(frame, 18);
  if (end > frame.length || end < headersBytes + NEIGHBOR_MESSAGE_BYTES) return null;
  if (frame[54] !== NEIGHBOR_ADVERTISEMENT || frame[55] !== 0) return null;
  if (icmpv6Checksum(frame.subarray(0, end)) !== 0 || !hasOctetsAt(frame, 62, address.octets)) return null;
  const option = headersBytes + NEIGHBOR_MESSAGE_BYTES;
  const hasOption = end >= option + LINK_LAYER_OPTION_BYTES && frame[option] === TARGET_LINK_LAYER_OPTION;
  return hasOption ? frame.slice(option + 2, option + 8) : frame.slice(6, 12);
}

/** `8a:6f:c3:d1:20:97` */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/** An IP packet as a frame. */
export function packetFrame(to: Uint8Array, from: Uint8Array, packet: Uint8Array): Uint8Array {
  const isIpv4 = (packet[0] ?? 0) >> 4 === 4;
  const frame = ethernetFrame(to, from, isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, packet.length);
  frame.set(packet, ETHERNET_HEADER_BYTES);
  return frame;
}

/** A zeroed frame with its Ethernet header written. */
function ethernetFrame(
  to: Uint8Array,
  from: Uint8Array,
  etherType: number,
  payloadBytes: number,
): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + payloadBytes);
  frame.set(to, 0);
  frame.set(from, 6);
  writeU16(frame, 12, etherType);
  return frame;
}

/** A frame for an ICMPv6 message of `icmpBytes` to a multicast group, hop limit 255 (RFC 4861 4.3, 4.4). */
function neighborFrame(
  mac: Uint8Array,
  source: Uint8Array,
  group: Uint8Array,
  icmpBytes: number,
): Uint8Array {
  // RFC 2464 7: 33:33 and the group's last four octets.
  const groupMac = Uint8Array.of(0x33, 0x33, ...group.subarray(12));
  const frame = ethernetFrame(groupMac, mac, ETHERTYPE_IPV6, IPV6_HEADER_BYTES + icmpBytes);
  frame.set([0x60, 0, 0, 0, 0, icmpBytes, PROTOCOL_ICMPV6, 255], 14);
  frame.set(source, 22);
  frame.set(group, 38);
  return frame;
}

/** RFC 4291 2.7.1: ff02::1:ff00:0/104 and the address's last three octets. */
function solicitedNodeGroup(address: Uint8Array): Uint8Array {
  return Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...address.subarray(13));
}

/** RFC 4861 4.6.1, directly after the target address. */
function writeLinkLayerOption(frame: Uint8Array, type: number, mac: Uint8Array): void {
  frame.set([type, 1, ...mac], ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NEIGHBOR_MESSAGE_BYTES);
}

function withIcmpv6Checksum(frame: Uint8Array): Uint8Array {
  writeU16(frame, 56, icmpv6Checksum(frame));
  return frame;
}

/** RFC 4443 2.3; 0 when it verifies. */
function icmpv6Checksum(frame: Uint8Array): number {
  const message = frame.subarray(ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES);
  const [source, destination] = [frame.subarray(22, 38), frame.subarray(38, 54)];
  return internetChecksum(pseudoHeaderSum(source, destination, PROTOCOL_ICMPV6, message.length), message);
}
