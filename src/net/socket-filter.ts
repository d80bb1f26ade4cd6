/** Classic BPF programs for SO_ATTACH_FILTER (linux/filter.h), so that what is not wanted never wakes this process. */
import type { IpAddress } from '../ip/address.ts';
import { addressOf } from './libc.ts';

export const SOL_SOCKET = 1;
export const SO_ATTACH_FILTER = 26;

/** One struct sock_filter: operation, jumps over how many instructions when true and when false, operand. */
type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, operand: number];
export type SocketFilter = readonly Instruction[];

const LOAD_BYTE_AT = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_WORD_AT = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
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

/**
 * Of IPv6 packets, only those to one destination with hop limit 255 (RFC 9568 5.1.2.3: others MUST be discarded). An
 * IPv6 raw socket is told neither of the two, and gets every group that any process of the host has joined.
 */
export function hopLimit255To(destination: IpAddress): SocketFilter {
  const words = Buffer.from(destination.octets);
  const checks: Instruction[] = [
    [LOAD_BYTE_AT, 0, 0, NETWORK_HEADER + IPV6_HOP_LIMIT_OFFSET],
    [JUMP_IF_EQUAL, 0, words.length / 2 + 1, 255],
  ];
  for (let offset = 0; offset < words.length; offset += 4) {
    const toDrop = (words.length - offset) / 2 - 1;
    checks.push(
      [LOAD_WORD_AT, 0, 0, NETWORK_HEADER + IPV6_DESTINATION_OFFSET + offset],
      [JUMP_IF_EQUAL, 0, toDrop, words.readUInt32BE(offset)],
    );
  }
  return [...checks, ACCEPT, DROP];
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
