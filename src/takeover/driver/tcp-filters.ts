/** Filters of TCP segments. */
import type { Family, IpAddress } from '../../ip/address.ts';
import {
  addressIs,
  allOf,
  AND,
  checked,
  INDEX_IS,
  INDEX_IS_ACCUMULATOR,
  INDEX_IS_STORED,
  type Instruction,
  JUMP_IF_EQUAL,
  JUMP_IF_GREATER,
  LOAD_BYTE_AT,
  LOAD_BYTE_AT_INDEX,
  LOAD_HALF_AT,
  LOAD_HALF_AT_INDEX,
  LOAD_WORD_AT,
  MODULO,
  MULTIPLY,
  NETWORK_HEADER,
  octetIs,
  OTHERWISE,
  RETURN,
  RETURN_ACCUMULATOR,
  SHIFT_LEFT,
  SHIFT_RIGHT,
  type SocketFilter,
  STORE,
  XOR_INDEX,
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

/** 2^32 divided by the golden ratio: its products differ in their upper bits (Knuth, multiplicative hashing). */
const HASH_FACTOR = 0x9e37_79b1;
/** The word of scratch memory that holds the product. */
const PRODUCT = 0;
const WORD_BYTES = 4;

/**
 * For a group of listeners on one port (SO_ATTACH_REUSEPORT_CBPF): gives the one behind the first `listeners` what
 * belongs to no connection and goes to one of `vips`, and spreads everything else over those, by the client's address
 * and port. The ACK that answers a SYN does not come here unless the SYN was answered with a cookie: the kernel knows
 * whose it is.
 */
export function strayListenerAfter(listeners: number, vips: readonly IpAddress[]): SocketFilter {
  const partOf = (family: Family): Instruction[] =>
    familyPart(
      family,
      listeners,
      vips.find((vip) => vip.family === family),
    );
  const ipv4 = partOf('IPv4');
  return [
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER],
    [SHIFT_RIGHT, 0, 0, 4],
    [JUMP_IF_EQUAL, 0, ipv4.length, 4],
    ...ipv4,
    ...partOf('IPv6'),
  ];
}

/** Offsets are from the network header, as the data begins behind the TCP header. Every way ends in a RETURN. */
function familyPart(family: Family, listeners: number, vip: IpAddress | undefined): Instruction[] {
  const { sourceAt, destinationAt, headerBytes, addressBytes } = IP_LAYOUT[family];
  const headerLength: Instruction[] =
    family === 'IPv4'
      ? [
          // In words, in the low half of the first octet.
          [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER],
          [AND, 0, 0, 0x0f],
          [SHIFT_LEFT, 0, 0, 2],
          [INDEX_IS_ACCUMULATOR, 0, 0, 0],
        ]
      : [[INDEX_IS, 0, 0, headerBytes]];
  const isStray: Instruction[] =
    vip === undefined
      ? []
      : [
          ...checked(
            [
              ...addressIs(NETWORK_HEADER + destinationAt, vip),
              [LOAD_BYTE_AT_INDEX, 0, 0, NETWORK_HEADER + TCP_FLAGS_AT],
              [AND, 0, 0, FLAG_SYN | FLAG_ACK],
              [JUMP_IF_EQUAL, OTHERWISE, 0, FLAG_SYN],
            ],
            1,
          ),
          [RETURN, 0, 0, listeners],
        ];
  return [
    ...headerLength,
    ...isStray,
    [LOAD_WORD_AT, 0, 0, NETWORK_HEADER + sourceAt + addressBytes - WORD_BYTES],
    [MULTIPLY, 0, 0, HASH_FACTOR],
    [STORE, 0, 0, PRODUCT],
    [LOAD_HALF_AT_INDEX, 0, 0, NETWORK_HEADER],
    [INDEX_IS_STORED, 0, 0, PRODUCT],
    [XOR_INDEX, 0, 0, 0],
    [MULTIPLY, 0, 0, HASH_FACTOR],
    [SHIFT_RIGHT, 0, 0, 16],
    [MODULO, 0, 0, listeners],
    [RETURN_ACCUMULATOR, 0, 0, 0],
  ];
}
