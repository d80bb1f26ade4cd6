/** Classic BPF programs for SO_ATTACH_FILTER (linux/filter.h), so that what is not wanted never wakes this process. */
import type { Family, IpAddress } from '../ip/address.ts';
import { addressOf } from './libc.ts';

export const SOL_SOCKET = 1;
export const SO_ATTACH_FILTER = 26;

/** One struct sock_filter: operation, jumps over how many instructions when true and when false, operand. */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, operand: number];
export type SocketFilter = readonly Instruction[];

const LOAD_BYTE_AT = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_WORD_AT = 0x20; // BPF_LD | BPF_W | BPF_ABS
const LOAD_HALF_AT = 0x28; // BPF_LD | BPF_H | BPF_ABS
const JUMP_IF_GREATER = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const LOAD_BYTE_AT_INDEX = 0x50; // BPF_LD | BPF_B | BPF_IND
const LOAD_HALF_AT_INDEX = 0x48; // BPF_LD | BPF_H | BPF_IND
const INDEX_IS = 0x01; // BPF_LDX | BPF_IMM
const INDEX_IS_ACCUMULATOR = 0x07; // BPF_MISC | BPF_TAX
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_LEFT = 0x64; // BPF_ALU | BPF_LSH | BPF_K
const SHIFT_RIGHT = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const MODULO = 0x94; // BPF_ALU | BPF_MOD | BPF_K
const JUMP = 0x05; // BPF_JMP | BPF_JA: over how many is the operand
const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const RETURN_ACCUMULATOR = 0x16; // BPF_RET | BPF_A
/** Offsets from here count from the network header, wherever the socket's own data begins. */
const NETWORK_HEADER = 0xfff00000; // SKF_NET_OFF
const ACCEPT: Instruction = [RETURN, 0, 0, 0xffff];
const DROP: Instruction = [RETURN, 0, 0, 0];

const IPV6_NEXT_HEADER_OFFSET = 6;
const IPV6_HOP_LIMIT_OFFSET = 7;
const IPV6_DESTINATION_OFFSET = 24;
const IPV6_HEADER_BYTES = 40;

/** Of all IPv6 packets, only neighbor advertisements (ICMPv6 type 136) without extension headers. */
export const NEIGHBOR_ADVERTISEMENTS: SocketFilter = [
  [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_NEXT_HEADER_OFFSET],
  [JUMP_IF_EQUAL, 0, 3, 58],
  [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_HEADER_BYTES],
  [JUMP_IF_EQUAL, 0, 1, 136],
  ACCEPT,
  DROP,
];

const ARP_SENDER_OFFSET = 14;
const NEIGHBOR_TARGET_OFFSET = IPV6_HEADER_BYTES + 8;

/** Of ARP (for an IPv4 address) or IPv6 packets, only those in which a host says that it has the address. */
export function claimsOf({ family, octets }: IpAddress): SocketFilter {
  const words = Buffer.from(octets);
  const checks: Instruction[] = [];
  if (family === 'IPv6') {
    checks.push([LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_NEXT_HEADER_OFFSET], [JUMP_IF_EQUAL, 0, 11, 58]);
    checks.push([LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_HEADER_BYTES], [JUMP_IF_EQUAL, 0, 9, 136]);
  }
  const start = NETWORK_HEADER + (family === 'IPv4' ? ARP_SENDER_OFFSET : NEIGHBOR_TARGET_OFFSET);
  for (let offset = 0; offset < words.length; offset += 4) {
    const toDrop = (words.length - offset) / 2 - 1;
    checks.push([LOAD_WORD_AT, 0, 0, start + offset], [JUMP_IF_EQUAL, 0, toDrop, words.readUInt32BE(offset)]);
  }
  return [...checks, ACCEPT, DROP];
}

/** What a filter leaves of a packet that was not sent on this link: enough to be counted. */
export const OFF_LINK_BYTES = 1;
const CUT: Instruction = [RETURN, 0, 0, OFF_LINK_BYTES];

/**
 * Of IPv6 packets, only those to one destination, and whole only with hop limit 255 (RFC 9568 5.1.2.3: others MUST be
 * discarded); of others OFF_LINK_BYTES are left. An IPv6 raw socket is told neither destination nor hop limit, and gets
 * every group that any process of the host has joined.
 */
export function hopLimit255To(destination: IpAddress): SocketFilter {
  const words = Buffer.from(destination.octets);
  const checks: Instruction[] = [];
  for (let offset = 0; offset < words.length; offset += 4) {
    // Over the checks that follow, the one of the hop limit, and ACCEPT and CUT.
    const toDrop = (words.length - offset) / 2 + 2;
    checks.push(
      [LOAD_WORD_AT, 0, 0, NETWORK_HEADER + IPV6_DESTINATION_OFFSET + offset],
      [JUMP_IF_EQUAL, 0, toDrop, words.readUInt32BE(offset)],
    );
  }
  checks.push([LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_HOP_LIMIT_OFFSET], [JUMP_IF_EQUAL, 0, 1, 255]);
  return [...checks, ACCEPT, CUT, DROP];
}

/** Of all packets, only those with TTL or hop limit 255: sent on this link, as a router would have lowered it (RFC 5082). */
export const SENT_ON_LINK: Record<Family, SocketFilter> = { IPv4: hopLimit255At(8), IPv6: hopLimit255At(7) };

function hopLimit255At(offset: number): SocketFilter {
  return [[LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + offset], [JUMP_IF_EQUAL, 0, 1, 255], ACCEPT, DROP];
}

const TCP_PROTOCOL = 6;
const IPV4_HEADER_BYTES = 20;
const TCP_DESTINATION_PORT_OFFSET = 2;
const TCP_FLAGS_OFFSET = 13;
const FLAGS_FIN_SYN_RST_ACK = 0x17;
const FLAG_SYN = 0x02;
const FLAG_RST = 0x04;
const FLAGS_FIN_SYN_RST = 0x07;
const FLAG_ACK = 0x10;
/** Header and options of a segment without data. */
const BARE_SEGMENT_MAX_BYTES = 60;

/** Of all packets, only TCP segments to one address that bear no data and are a SYN, a RST, or nothing but an ACK. */
export function bareSegmentsTo(destination: IpAddress): SocketFilter {
  const isIpv4 = destination.family === 'IPv4';
  const headerBytes = isIpv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const maxLength = BARE_SEGMENT_MAX_BYTES + (isIpv4 ? headerBytes : 0);
  return allOf([
    ...segmentTo(destination),
    [LOAD_HALF_AT, 0, 0, NETWORK_HEADER + (isIpv4 ? 2 : 4)],
    [JUMP_IF_GREATER, TO_DROP, 0, maxLength],
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + headerBytes + TCP_FLAGS_OFFSET],
    [AND, 0, 0, FLAGS_FIN_SYN_RST_ACK],
    [JUMP_IF_EQUAL, 3, 0, FLAG_SYN],
    [JUMP_IF_EQUAL, 2, 0, FLAG_ACK],
    [AND, 0, 0, FLAGS_FIN_SYN_RST],
    [JUMP_IF_EQUAL, 0, TO_DROP, FLAG_RST],
  ]);
}

/** Of all packets, only TCP segments to one address and port, without IPv4 options or IPv6 extension headers. */
export function segmentsTo(destination: IpAddress, port: number): SocketFilter {
  const headerBytes = destination.family === 'IPv4' ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  return allOf([
    ...segmentTo(destination),
    [LOAD_HALF_AT, 0, 0, NETWORK_HEADER + headerBytes + TCP_DESTINATION_PORT_OFFSET],
    [JUMP_IF_EQUAL, 0, TO_DROP, port],
  ]);
}

/** No packet at all. */
export const NOTHING: SocketFilter = [DROP];

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
    [INDEX_IS, 0, 0, IPV6_HEADER_BYTES],
    [LOAD_BYTE_AT_INDEX, 0, 0, NETWORK_HEADER + TCP_FLAGS_OFFSET],
    [AND, 0, 0, FLAG_SYN | FLAG_ACK],
    [JUMP_IF_EQUAL, 1, 0, FLAG_SYN],
    [RETURN, 0, 0, listeners],
    [LOAD_HALF_AT_INDEX, 0, 0, NETWORK_HEADER],
    [MODULO, 0, 0, listeners],
    [RETURN_ACCUMULATOR, 0, 0, 0],
  ];
}

/** Stands for the way to DROP, which is known once all checks are there. */
const TO_DROP = -1;

/** Checks that a packet is a TCP segment to this address. */
function segmentTo({ family, octets }: IpAddress): Instruction[] {
  const words = Buffer.from(octets);
  const [protocolAt, destinationAt] =
    family === 'IPv4' ? [9, 16] : [IPV6_NEXT_HEADER_OFFSET, IPV6_DESTINATION_OFFSET];
  const checks: Instruction[] = [
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + protocolAt],
    [JUMP_IF_EQUAL, 0, TO_DROP, TCP_PROTOCOL],
  ];
  for (let offset = 0; offset < words.length; offset += 4) {
    checks.push(
      [LOAD_WORD_AT, 0, 0, NETWORK_HEADER + destinationAt + offset],
      [JUMP_IF_EQUAL, 0, TO_DROP, words.readUInt32BE(offset)],
    );
  }
  return checks;
}

/** The program that accepts what no check sends TO_DROP. */
function allOf(checks: readonly Instruction[]): SocketFilter {
  const dropAt = checks.length + 1;
  const resolve = (jump: number, index: number): number => (jump === TO_DROP ? dropAt - index - 1 : jump);
  const resolved = checks.map(([code, whenTrue, whenFalse, operand], index): Instruction => [
    code,
    resolve(whenTrue, index),
    resolve(whenFalse, index),
    operand,
  ]);
  return [...resolved, ACCEPT, DROP];
}

/**
 * Hands `attach` the struct sock_fprog of a filter (64-bit layout: length, pointer at 8). It holds a pointer, which
 * is good only inside the call; the kernel copies the program (Documentation/networking/filter.rst).
 */
export function withFilterProgram(filter: SocketFilter, attach: (program: Buffer) => void): void {
  const instructions = encodeFilter(filter);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.length, 0);
  program.writeBigUInt64LE(addressOf(instructions), 8);
  attach(program);
}

/** The instructions as struct sock_filter, in the byte order of x86-64 and arm64. */
export function encodeFilter(filter: SocketFilter): Buffer {
  const encoded = Buffer.alloc(filter.length * 8);
  for (const [index, [code, whenTrue, whenFalse, operand]] of filter.entries()) {
    encoded.writeUInt16LE(code, index * 8);
    encoded.writeUInt8(whenTrue, index * 8 + 2);
    encoded.writeUInt8(whenFalse, index * 8 + 3);
    encoded.writeUInt32LE(operand, index * 8 + 4);
  }
  return encoded;
}
