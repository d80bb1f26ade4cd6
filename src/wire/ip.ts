/** IPv4 and IPv6 headers (RFC 791 3.1, RFC 8200 3), between octets and values. Pure. */
import type { Family } from '../ip/address.ts';
import { readU16, writeU16 } from './octets.ts';

// IANA protocol numbers
export const PROTOCOL_TCP = 6;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_VRRP = 112;

/** Where the fields of a header are, and how long it is without options. */
export type IpLayout = {
  readonly headerBytes: number;
  /** IPv4: of the whole packet; IPv6: of what follows the header. */
  readonly lengthAt: number;
  readonly protocolAt: number;
  readonly hopLimitAt: number;
  readonly sourceAt: number;
  readonly destinationAt: number;
  readonly addressBytes: number;
};

export const IP_LAYOUT: Readonly<Record<Family, IpLayout>> = {
  IPv4: {
    headerBytes: 20,
    lengthAt: 2,
    protocolAt: 9,
    hopLimitAt: 8,
    sourceAt: 12,
    destinationAt: 16,
    addressBytes: 4,
  },
  IPv6: {
    headerBytes: 40,
    lengthAt: 4,
    protocolAt: 6,
    hopLimitAt: 7,
    sourceAt: 8,
    destinationAt: 24,
    addressBytes: 16,
  },
};

/** Version 4, and five words of header. */
export const IPV4_WITHOUT_OPTIONS = 0x45;
const IPV4_DO_NOT_FRAGMENT = 0x40;

export type IpHeader = {
  /** 4 or 16 octets, as `destination`. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** IPv4: type of service. 0-255, 0 unless given. */
  readonly trafficClass?: number;
  /** IPv4: TTL. 1-255 */
  readonly hopLimit: number;
  readonly payloadBytes: number;
  /** IPv4 only; false unless given. */
  readonly doNotFragment?: boolean;
};

/**
 * Writes the header at the start of `packet`, of the family of its addresses. IPv4: identification and header checksum
 * are zero, as the kernel fills in both for IP_HDRINCL (raw(7)).
 */
export function writeIpHeader(packet: Uint8Array, header: IpHeader): void {
  const { source, destination, protocol, trafficClass = 0, hopLimit, payloadBytes } = header;
  const isIpv4 = source.length === IP_LAYOUT.IPv4.addressBytes;
  const layout = IP_LAYOUT[isIpv4 ? 'IPv4' : 'IPv6'];
  packet.fill(0, 0, layout.headerBytes);
  if (isIpv4) {
    packet.set([IPV4_WITHOUT_OPTIONS, trafficClass]);
    packet[6] = header.doNotFragment === true ? IPV4_DO_NOT_FRAGMENT : 0;
  } else packet.set([0x60 | (trafficClass >> 4), (trafficClass & 0x0f) << 4]);
  writeU16(packet, layout.lengthAt, isIpv4 ? layout.headerBytes + payloadBytes : payloadBytes);
  packet[layout.protocolAt] = protocol;
  packet[layout.hopLimitAt] = hopLimit;
  packet.set(source, layout.sourceAt);
  packet.set(destination, layout.destinationAt);
}

/** Where the payload of a received IPv4 packet lies, and what its header says. */
export type Ipv4Envelope = {
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly ttl: number;
};

/**
 * Reads the IPv4 header of a packet from a raw socket, which the kernel has already checked and reassembled; null
 * when it is not an IPv4 header or says that the packet is a fragment. Octets past the total length are padding; a
 * packet longer than what was read ends where that ends.
 */
export function readIpv4Header(packet: Uint8Array): Ipv4Envelope | null {
  const headerBytes = ipv4HeaderBytes(packet);
  const isIpv4 = (packet[0] ?? 0) >> 4 === 4;
  if (!isIpv4 || headerBytes < IP_LAYOUT.IPv4.headerBytes || packet.length < headerBytes) return null;
  const totalBytes = readU16(packet, IP_LAYOUT.IPv4.lengthAt);
  if (totalBytes < headerBytes || isIpv4Fragment(packet)) return null;
  return {
    payloadStart: headerBytes,
    payloadEnd: Math.min(totalBytes, packet.length),
    ttl: packet[IP_LAYOUT.IPv4.hopLimitAt] ?? 0,
  };
}

/** The length of an IPv4 header with its options, as it says itself. */
export function ipv4HeaderBytes(packet: Uint8Array): number {
  return ((packet[0] ?? 0) & 0x0f) * 4;
}

/** True for all fragments of a packet, the first one too. */
export function isIpv4Fragment(packet: Uint8Array): boolean {
  return (readU16(packet, 6) & 0x3fff) !== 0;
}
