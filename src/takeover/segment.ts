/**
 * The bare TCP segments of a takeover, with their IP headers, as a raw socket sends them (raw(7), IP_HDRINCL). Pure.
 */
import type { IpAddress } from '../ip/address.ts';
import { internetChecksum, pseudoHeaderSum } from '../wire/checksum.ts';
import { ETHERNET_HEADER_BYTES } from '../wire/frames.ts';
import { IP_LAYOUT, ipv4HeaderBytes, isIpv4Fragment, PROTOCOL_TCP, writeIpHeader } from '../wire/ip.ts';
import { hasOctetsAt, readU16 } from '../wire/octets.ts';
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_PSH,
  FLAG_RST,
  FLAG_SYN,
  TCP_DESTINATION_PORT_AT,
  TCP_FLAGS_AT,
  TCP_HEADER_BYTES,
} from '../wire/tcp.ts';
import { type ClientKey, writeClientKey } from './tuple.ts';

export type Service = { readonly vip: IpAddress; readonly port: number };

/** Where the kernel has its checksum in an IPv4 header. */
const IPV4_CHECKSUM_AT = 10;
const HOP_LIMIT = 64;
const FLAGS_FIN_SYN_RST_ACK = FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK;
const FLAGS_FIN_PSH = FLAG_FIN | FLAG_PSH;
const WINDOW = 0x0400;
/** Spread over the sequence space: what falls into a client's window in one round does not in the next. */
const ROUND_STRIDE = 0x55555555;

/**
 * An ACK from the service to a client, of a sequence number that is none of theirs. A client that has such a
 * connection must answer with an ACK of its own (RFC 9293 3.10.7.4, RFC 5961 5), to which the kernel of a host without
 * the connection replies RST. A client that has none answers RST, which nobody takes.
 */
export function promptSegment(service: Service, client: ClientKey, round: number): Uint8Array {
  return segment(service, client, { sequence: (round * ROUND_STRIDE) >>> 0, flags: FLAG_ACK });
}

/** The RST that the client accepts after it has acknowledged `sequence` (RFC 9293 3.5.2, group 1). */
export function resetSegment(service: Service, client: ClientKey, sequence: number): Uint8Array {
  return segment(service, client, { sequence, flags: FLAG_RST });
}

/**
 * What a client says to the service without data: that it begins a connection, that it has none (any more), or that it
 * has one and what it expects next.
 */
export type Word =
  | { readonly kind: 'syn' | 'rst'; readonly client: ClientKey }
  | { readonly kind: 'ack'; readonly client: ClientKey; readonly expects: number };

/** A TCP segment from a client to the service: the IP packet, where its parts begin, and whose it is. */
export type ClientSegment = {
  readonly packet: Uint8Array;
  readonly tcpAt: number;
  readonly dataAt: number;
  readonly client: ClientKey;
  /** FIN, SYN, RST and ACK. */
  readonly flags: number;
};

/** Reads an Ethernet frame; null when it is no whole TCP segment to the service. */
export function readSegment(frame: Uint8Array, { vip, port }: Service): ClientSegment | null {
  const isIpv4 = vip.family === 'IPv4';
  const packet = tcpPacket(frame, isIpv4);
  const { headerBytes, sourceAt, destinationAt } = IP_LAYOUT[vip.family];
  if (packet === null || !hasOctetsAt(packet, destinationAt, vip.octets)) return null;
  const tcpAt = isIpv4 ? ipv4HeaderBytes(packet) : headerBytes;
  const tcp = packet.subarray(tcpAt);
  const dataAt = tcpAt + ((tcp[12] ?? 0) >> 4) * 4;
  if (
    readU16(tcp, TCP_DESTINATION_PORT_AT) !== port ||
    dataAt < tcpAt + TCP_HEADER_BYTES ||
    dataAt > packet.length
  )
    return null;
  const address = packet.subarray(sourceAt, sourceAt + vip.octets.length);
  const client = String.fromCharCode(...address, tcp[0] ?? 0, tcp[1] ?? 0);
  return { packet, tcpAt, dataAt, client, flags: (tcp[TCP_FLAGS_AT] ?? 0) & FLAGS_FIN_SYN_RST_ACK };
}

/**
 * The IP packet in a frame, without the padding of short frames; null when it is no TCP, or only a part of a packet.
 */
function tcpPacket(frame: Uint8Array, isIpv4: boolean): Uint8Array | null {
  const ip = frame.subarray(ETHERNET_HEADER_BYTES);
  const { headerBytes, lengthAt, protocolAt } = IP_LAYOUT[isIpv4 ? 'IPv4' : 'IPv6'];
  if ((ip[0] ?? 0) >> 4 !== (isIpv4 ? 4 : 6) || ip[protocolAt] !== PROTOCOL_TCP) return null;
  if (isIpv4 && isIpv4Fragment(ip)) return null;
  return ip.subarray(0, readU16(ip, lengthAt) + (isIpv4 ? 0 : headerBytes));
}

/** Reads an Ethernet frame; null when it is neither a SYN nor a RST nor a bare ACK to the service. */
export function readWord(frame: Uint8Array, service: Service): Word | null {
  const read = readSegment(frame, service);
  if (read === null) return null;
  const { packet, tcpAt, client, flags } = read;
  if (flags === FLAG_SYN) return { kind: 'syn', client };
  if ((flags & ~FLAG_ACK) === FLAG_RST) return { kind: 'rst', client };
  if (flags !== FLAG_ACK) return null;
  return {
    kind: 'ack',
    client,
    expects: ((readU16(packet, tcpAt + 8) << 16) | readU16(packet, tcpAt + 10)) >>> 0,
  };
}

/** True for a segment that begins a connection. */
export function isFirst({ flags }: ClientSegment): boolean {
  return flags === FLAG_SYN;
}

/**
 * The segment as IP packets for another host that has its connection, none longer than `mtuBytes`: the kernel may have
 * joined several into one, and left the checksums to be computed later. Their hop limit is 1, so that a host which does
 * not have the address any more drops them.
 */
export function packetsToHandOn({ packet, tcpAt, dataAt }: ClientSegment, mtuBytes: number): Uint8Array[] {
  const data = packet.subarray(dataAt);
  const stepBytes = Math.max(1, mtuBytes - dataAt);
  const packets: Uint8Array[] = [];
  for (let offset = 0; offset === 0 || offset < data.length; offset += stepBytes) {
    const pieceData = data.subarray(offset, offset + stepBytes);
    const piece = new Uint8Array(dataAt + pieceData.length);
    piece.set(packet.subarray(0, dataAt));
    piece.set(pieceData, dataAt);
    const isLast = offset + stepBytes >= data.length;
    finishPiece(piece, tcpAt, { sequenceOffset: offset, isLast });
    packets.push(piece);
  }
  return packets;
}

function finishPiece(
  packet: Uint8Array,
  tcpAt: number,
  { sequenceOffset, isLast }: { readonly sequenceOffset: number; readonly isLast: boolean },
): void {
  const view = new DataView(packet.buffer);
  const isIpv4 = (packet[0] ?? 0) >> 4 === 4;
  const { headerBytes, lengthAt, hopLimitAt, sourceAt, destinationAt, addressBytes } =
    IP_LAYOUT[isIpv4 ? 'IPv4' : 'IPv6'];
  packet[hopLimitAt] = 1;
  view.setUint32(tcpAt + 4, (view.getUint32(tcpAt + 4) + sequenceOffset) >>> 0);
  // FIN and PSH belong to the end of what was joined.
  if (!isLast) packet[tcpAt + TCP_FLAGS_AT] = (packet[tcpAt + TCP_FLAGS_AT] ?? 0) & ~FLAGS_FIN_PSH;
  view.setUint16(lengthAt, packet.length - (isIpv4 ? 0 : headerBytes));
  if (isIpv4) {
    view.setUint16(IPV4_CHECKSUM_AT, 0);
    view.setUint16(IPV4_CHECKSUM_AT, internetChecksum(0, packet.subarray(0, tcpAt)));
  }
  view.setUint16(tcpAt + 16, 0);
  const source = packet.subarray(sourceAt, sourceAt + addressBytes);
  const destination = packet.subarray(destinationAt, destinationAt + addressBytes);
  view.setUint16(tcpAt + 16, tcpChecksum(source, destination, packet.subarray(tcpAt)));
}

function segment(
  { vip, port }: Service,
  client: ClientKey,
  { sequence, flags }: { readonly sequence: number; readonly flags: number },
): Uint8Array {
  const clientEnd = new Uint8Array(client.length);
  writeClientKey(clientEnd, 0, client);
  const { headerBytes, addressBytes } = IP_LAYOUT[vip.family];
  const packet = new Uint8Array(headerBytes + TCP_HEADER_BYTES);
  const destination = clientEnd.subarray(0, addressBytes);
  writeIpHeader(packet, {
    source: vip.octets,
    destination,
    protocol: PROTOCOL_TCP,
    hopLimit: HOP_LIMIT,
    payloadBytes: TCP_HEADER_BYTES,
    doNotFragment: true,
  });
  const tcp = packet.subarray(headerBytes);
  const view = new DataView(packet.buffer, headerBytes);
  view.setUint16(0, port);
  tcp.set(clientEnd.subarray(addressBytes), 2);
  view.setUint32(4, sequence);
  tcp[12] = (TCP_HEADER_BYTES / 4) << 4;
  tcp[TCP_FLAGS_AT] = flags;
  view.setUint16(14, flags === FLAG_RST ? 0 : WINDOW);
  view.setUint16(16, tcpChecksum(vip.octets, destination, tcp));
  return packet;
}

function tcpChecksum(source: Uint8Array, destination: Uint8Array, tcp: Uint8Array): number {
  return internetChecksum(pseudoHeaderSum(source, destination, PROTOCOL_TCP, tcp.length), tcp);
}
