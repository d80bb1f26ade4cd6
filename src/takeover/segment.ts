/** The bare TCP segments of a takeover, with their IP headers, as a raw socket sends them (raw(7), IP_HDRINCL). Pure. */
import type { IpAddress } from '../ip/address.ts';
import { type ClientKey, writeClientKey } from './tuple.ts';

export type Service = { readonly vip: IpAddress; readonly port: number };

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const TCP_HEADER_BYTES = 20;
const TCP_PROTOCOL = 6;
const HOP_LIMIT = 64;
const FLAG_SYN = 0x02;
const FLAG_RST = 0x04;
const FLAG_ACK = 0x10;
const FLAGS_FIN_SYN_RST_ACK = 0x17;
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

/** What a client says to the service without data: that it begins a connection, or has one and what it expects next. */
export type Word =
  | { readonly kind: 'syn'; readonly client: ClientKey }
  | { readonly kind: 'ack'; readonly client: ClientKey; readonly expects: number };

const ETHERNET_HEADER_BYTES = 14;

/** Reads an Ethernet frame; null when it is neither a SYN nor a bare ACK to the service. */
export function readWord(frame: Uint8Array, { vip, port }: Service): Word | null {
  const isIpv4 = vip.family === 'IPv4';
  const packet = frame.subarray(ETHERNET_HEADER_BYTES);
  const ipBytes = isIpv4 ? ((packet[0] ?? 0) & 0x0f) * 4 : IPV6_HEADER_BYTES;
  if (packet.length < ipBytes + TCP_HEADER_BYTES || packet[isIpv4 ? 9 : 6] !== TCP_PROTOCOL) return null;
  if ((packet[0] ?? 0) >> 4 !== (isIpv4 ? 4 : 6)) return null;
  if (isIpv4 && (readU16(packet, 6) & 0x3fff) !== 0) return null;
  const [sourceAt, destinationAt] = isIpv4 ? [12, 16] : [8, 24];
  if (!vip.octets.every((octet, index) => packet[destinationAt + index] === octet)) return null;
  const tcp = packet.subarray(ipBytes);
  const flags = (tcp[13] ?? 0) & FLAGS_FIN_SYN_RST_ACK;
  if (readU16(tcp, 2) !== port || (flags !== FLAG_ACK && flags !== FLAG_SYN)) return null;
  const address = packet.subarray(sourceAt, sourceAt + vip.octets.length);
  const client = String.fromCharCode(...address, tcp[0] ?? 0, tcp[1] ?? 0);
  if (flags === FLAG_SYN) return { kind: 'syn', client };
  return { kind: 'ack', client, expects: ((readU16(tcp, 8) << 16) | readU16(tcp, 10)) >>> 0 };
}

function segment(
  { vip, port }: Service,
  client: ClientKey,
  { sequence, flags }: { readonly sequence: number; readonly flags: number },
): Uint8Array {
  const clientEnd = new Uint8Array(client.length);
  writeClientKey(clientEnd, 0, client);
  const addressBytes = vip.octets.length;
  const ipBytes = addressBytes === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const packet = new Uint8Array(ipBytes + TCP_HEADER_BYTES);
  const destination = clientEnd.subarray(0, addressBytes);
  if (addressBytes === 4) {
    // The kernel fills in length, identification and checksum.
    packet.set([0x45, 0, 0, packet.length, 0, 0, 0x40, 0, HOP_LIMIT, TCP_PROTOCOL]);
    packet.set(vip.octets, 12);
    packet.set(destination, 16);
  } else {
    packet.set([0x60, 0, 0, 0, 0, TCP_HEADER_BYTES, TCP_PROTOCOL, HOP_LIMIT]);
    packet.set(vip.octets, 8);
    packet.set(destination, 24);
  }
  const tcp = packet.subarray(ipBytes);
  const view = new DataView(packet.buffer, ipBytes);
  view.setUint16(0, port);
  tcp.set(clientEnd.subarray(addressBytes), 2);
  view.setUint32(4, sequence);
  tcp[12] = (TCP_HEADER_BYTES / 4) << 4;
  tcp[13] = flags;
  view.setUint16(14, flags === FLAG_RST ? 0 : WINDOW);
  view.setUint16(16, tcpChecksum(vip.octets, destination, tcp));
  return packet;
}

/** RFC 9293 3.1, over the pseudo-header and the segment. */
function tcpChecksum(source: Uint8Array, destination: Uint8Array, tcp: Uint8Array): number {
  let sum = TCP_PROTOCOL + tcp.length;
  for (const octets of [source, destination, tcp]) {
    for (let index = 0; index < octets.length; index += 2) sum += readU16(octets, index);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function readU16(octets: Uint8Array, offset: number): number {
  return ((octets[offset] ?? 0) << 8) | (octets[offset + 1] ?? 0);
}
