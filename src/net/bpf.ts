/** Classic BPF programs for SO_ATTACH_FILTER (linux/filter.h), so that what is not wanted never wakes this process. */
import type { IpAddress } from '../ip/address.ts';
import { FixedMemory } from './libc.ts';

/** One struct sock_filter: operation, jumps over how many instructions when true and when false, operand. */
export type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, operand: number];
export type SocketFilter = readonly Instruction[];

export const LOAD_BYTE_AT = 0x30; // BPF_LD | BPF_B | BPF_ABS
export const LOAD_HALF_AT = 0x28; // BPF_LD | BPF_H | BPF_ABS
export const LOAD_LENGTH = 0x80; // BPF_LD | BPF_W | BPF_LEN
export const LOAD_BYTE_AT_INDEX = 0x50; // BPF_LD | BPF_B | BPF_IND
export const LOAD_HALF_AT_INDEX = 0x48; // BPF_LD | BPF_H | BPF_IND
export const INDEX_IS = 0x01; // BPF_LDX | BPF_IMM
export const INDEX_IS_ACCUMULATOR = 0x07; // BPF_MISC | BPF_TAX
export const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
export const SHIFT_LEFT = 0x64; // BPF_ALU | BPF_LSH | BPF_K
export const SHIFT_RIGHT = 0x74; // BPF_ALU | BPF_RSH | BPF_K
export const MODULO = 0x94; // BPF_ALU | BPF_MOD | BPF_K
export const JUMP = 0x05; // BPF_JMP | BPF_JA: over how many is the operand
export const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
export const JUMP_IF_GREATER = 0x25; // BPF_JMP | BPF_JGT | BPF_K
export const RETURN = 0x06; // BPF_RET | BPF_K
export const RETURN_ACCUMULATOR = 0x16; // BPF_RET | BPF_A
export const LOAD_WORD_AT = 0x20; // BPF_LD | BPF_W | BPF_ABS
export const LOAD_WORD_AT_INDEX = 0x40; // BPF_LD | BPF_W | BPF_IND
export const LOAD_CONSTANT = 0x00; // BPF_LD | BPF_IMM
export const STORE = 0x02; // BPF_ST: the operand is a word of the scratch memory
export const INDEX_IS_STORED = 0x61; // BPF_LDX | BPF_MEM
export const MULTIPLY = 0x24; // BPF_ALU | BPF_MUL | BPF_K
export const XOR_INDEX = 0xac; // BPF_ALU | BPF_XOR | BPF_X

/**
 * Offsets from here count from the network header, wherever the socket's own data begins (SKF_NET_OFF). Only for what
 * the kernel has already looked at, such as the IP header before a socket of IP: before Linux 6.15 (and fixes of 2025
 * for older ones) such a load sees the first piece of a packet alone, and the rest of it may lie in others, as with
 * drivers that leave even headers in pages. A load that fails drops the packet. Offsets from 0 have no such limit.
 */
export const NETWORK_HEADER = 0xfff00000;
/** Loads the index of the interface that a packet came in by (SKF_AD_OFF + SKF_AD_IFINDEX), as a word. */
export const INTERFACE_INDEX = 0xfffff008;
export const ACCEPT: Instruction = [RETURN, 0, 0, 0xffff];
export const DROP: Instruction = [RETURN, 0, 0, 0];

/** No packet at all. */
export const NOTHING: SocketFilter = [DROP];

/** Stands in a check for the way that a packet takes which fails it; `checked` knows how far that is. */
export const OTHERWISE = -1;

/** Checks one octet. The offset is from where the socket's data begins, or from NETWORK_HEADER. */
export function octetIs(offset: number, octet: number): Instruction[] {
  return [
    [LOAD_BYTE_AT, 0, 0, offset],
    [JUMP_IF_EQUAL, 0, OTHERWISE, octet],
  ];
}

/** Checks that an address stands at this offset. */
export function addressIs(offset: number, { octets }: IpAddress): Instruction[] {
  const words = Buffer.from(octets);
  const checks: Instruction[] = [];
  for (let at = 0; at < words.length; at += 4) {
    checks.push([LOAD_WORD_AT, 0, 0, offset + at], [JUMP_IF_EQUAL, 0, OTHERWISE, words.readUInt32BE(at)]);
  }
  return checks;
}

/** The checks, from which what fails one of them goes on behind the `skipped` instructions that follow them all. */
export function checked(checks: readonly Instruction[], skipped: number): Instruction[] {
  const resolve = (jump: number, index: number): number =>
    jump === OTHERWISE ? checks.length - index - 1 + skipped : jump;
  return checks.map(([code, whenTrue, whenFalse, operand], index): Instruction => [
    code,
    resolve(whenTrue, index),
    resolve(whenFalse, index),
    operand,
  ]);
}

/** The program that accepts what passes all checks, and nothing else. */
export function allOf(checks: readonly Instruction[]): SocketFilter {
  return [...checked(checks, 1), ACCEPT, DROP];
}

/** struct sock_fprog in its 64-bit layout: length, pointer at 8. */
const PROGRAM_BYTES = 16;

/**
 * Hands `attach` the struct sock_fprog of a filter. It holds a pointer to the instructions, which is good only inside
 * the call; the kernel copies them (Documentation/networking/filter.rst). Both lie in one piece of memory: nothing else
 * refers to the instructions, so that memory of their own could be reused before the kernel has read it.
 */
export function withFilterProgram(filter: SocketFilter, attach: (program: Buffer) => void): void {
  const { bytes, address } = new FixedMemory(PROGRAM_BYTES + 8 * filter.length);
  bytes.set(encodeFilter(filter), PROGRAM_BYTES);
  const program = Buffer.from(bytes.buffer, 0, PROGRAM_BYTES);
  program.writeUInt16LE(filter.length, 0);
  program.writeBigUInt64LE(BigInt(address + PROGRAM_BYTES), 8);
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
