/** Filters of TCP segments. */
import type { IpAddress } from '../../ip/address.ts';
import {
  addressIs,
  allOf,
  AND,
  INDEX_IS,
  INDEX_IS_ACCUMULATOR,
  type Instruction,
  JUMP,
  JUMP_IF_EQUAL,
  JUMP_IF_GREATER,
  LOAD_BYTE_AT,
  LOAD_BYTE_AT_INDEX,
  LOAD_HALF_AT,
  LOAD_HALF_AT_INDEX,
  MODULO,
  NETWORK_HEADER,
  octetIs,
  OTHERWISE,
  RETURN,
  RETURN_ACCUMULATOR,
  SHIFT_LEFT,
  SHIFT_RIGHT,
  type SocketFilter,
} from '../../net/bpf.ts';
import { ETHERNET_HEADER_BYTES } from '../../wire/frames.ts';
import { IP_LAYOUT, PROTOCOL_TCP } from '../../wire/ip.ts';
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  TCP_DESTINATION_PORT_AT,
  TCP_FLAGS_AT,
} from '../../wire/tcp.ts';

const FLAGS_FIN_SYN_RST = FLAG_FIN | FLAG_SYN | FLAG_RST;
const FLAGS_FIN_SYN_RST_ACK = FLAGS_FIN_SYN_RST | FLAG_ACK;
/** Header and options of a segment without data. */
const BARE_SEGMENT_MAX_BYTES = 60;

/**
 * Of all packets, only TCP segments to one address that bear no data and are a SYN, a RST, or nothing but an ACK. For
 * any link, with or without a header of its own.
 */
export function bareSegmentsTo(destination: IpAddress): SocketFilter {
  const isIpv4 = destination.family === 'IPv4';
  const { headerBytes, lengthAt } = IP_LAYOUT[destination.family];
  const maxLength = BARE_SEGMENT_MAX_BYTES + (isIpv4 ? headerBytes : 0);
  return allOf([
    ...segmentTo(NETWORK_HEADER, destination),
    [LOAD_HALF_AT, 0, 0, NETWORK_HEADER + lengthAt],
    [JUMP_IF_GREATER, OTHERWISE, 0, maxLength],
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + headerBytes + TCP_FLAGS_AT],
    [AND, 0, 0, FLAGS_FIN_SYN_RST_ACK],
    [JUMP_IF_EQUAL, 3, 0, FLAG_SYN],
    [JUMP_IF_EQUAL, 2, 0, FLAG_ACK],
    [AND, 0, 0, FLAGS_FIN_SYN_RST],
    [JUMP_IF_EQUAL, 0, OTHERWISE, FLAG_RST],
  ]);
}

/**
 * Of all packets of an Ethernet link, only TCP segments to one address and port, without IPv4 options or IPv6 extension
 * headers.
 */
export function segmentsTo(destination: IpAddress, port: number): SocketFilter {
  const { headerBytes } = IP_LAYOUT[destination.family];
  return allOf([
    ...segmentTo(ETHERNET_HEADER_BYTES, destination),
    [LOAD_HALF_AT, 0, 0, ETHERNET_HEADER_BYTES + headerBytes + TCP_DESTINATION_PORT_AT],
    [JUMP_IF_EQUAL, 0, OTHERWISE, port],
  ]);
}

/** Checks that a packet, whose IP header is at `headerAt`, is a TCP segment to this address. */
function segmentTo(headerAt: number, destination: IpAddress): Instruction[] {
  const { protocolAt, destinationAt } = IP_LAYOUT[destination.family];
  return [
    ...octetIs(headerAt + protocolAt, PROTOCOL_TCP),
    ...addressIs(headerAt + destinationAt, destination),
  ];
}

/**
 * For a group of listeners on one port (SO_ATTACH_REUSEPORT_CBPF): spreads SYNs over the first `listeners` of them, by
 * the client's port, and gives the next one what belongs to no connection. The answer to a SYN does not come here: the
 * kernel knows whose it is. Offsets are from the network header, as the data begins behind the TCP header.
 */
export function strayListenerAfter(listeners: number): SocketFilter {
  return [
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER],
    [SHIFT_RIGHT, 0, 0, 4],
    [JUMP_IF_EQUAL, 0, 5, 4],
    // IPv4: the header's length is in words, in the low half of its first octet.
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER],
    [AND, 0, 0, 0x0f],
    [SHIFT_LEFT, 0, 0, 2],
    [INDEX_IS_ACCUMULATOR, 0, 0, 0],
    [JUMP, 0, 0, 1],
    [INDEX_IS, 0, 0, IP_LAYOUT.IPv6.headerBytes],
    [LOAD_BYTE_AT_INDEX, 0, 0, NETWORK_HEADER + TCP_FLAGS_AT],
    [AND, 0, 0, FLAG_SYN | FLAG_ACK],
    [JUMP_IF_EQUAL, 1, 0, FLAG_SYN],
    [RETURN, 0, 0, listeners],
    [LOAD_HALF_AT_INDEX, 0, 0, NETWORK_HEADER],
    [MODULO, 0, 0, listeners],
    [RETURN_ACCUMULATOR, 0, 0, 0],
  ];
}
