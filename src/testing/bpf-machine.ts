/** The kernel's machine for classic BPF, as far as the programs of this project use it. */
import assert from 'node:assert/strict';

import {
  INTERFACE_INDEX,
  JUMP,
  JUMP_IF_EQUAL,
  JUMP_IF_GREATER,
  LOAD_BYTE_AT,
  LOAD_HALF_AT,
  LOAD_LENGTH,
  NETWORK_HEADER,
  RETURN,
  type SocketFilter,
} from '../net/bpf.ts';

/** What the programs here return of a packet that they want whole. */
export const KEPT = 0xffff;
export const DROPPED = 0;

/** How a packet comes to a socket. */
export type Arrival = {
  /** Where the socket's data begins, from the network header on: behind it, or before it with a link's header. */
  readonly dataAt: number;
  /** How much of the packet, from the network header on, is in its first piece; the rest lies in pages. */
  readonly linearBytes: number;
  /** Of the interface that it came in by, for filters that look at it. */
  readonly linkIndex?: number;
};

/**
 * How many octets of the packet, which begins at the network header, the filter keeps. A load past its end drops it,
 * and so does one from NETWORK_HEADER past its first piece, as in kernels before 6.15.
 */
export function octetsKept(
  filter: SocketFilter,
  packet: Uint8Array,
  { dataAt, linearBytes, linkIndex }: Arrival,
): number {
  const octets = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const [code, whenTrue, whenFalse, operand] = filter[at] ?? assert.fail('ran off the end of the program');
    if (code === RETURN) return operand;
    if (code === JUMP) at += operand;
    else if (operand === INTERFACE_INDEX) accumulator = linkIndex ?? assert.fail('no interface');
    else if (code === LOAD_LENGTH) accumulator = packet.length - dataAt;
    else if (code === JUMP_IF_EQUAL || code === JUMP_IF_GREATER) {
      assert.ok(whenTrue <= 255 && whenFalse <= 255, 'a jump further than its octet says');
      const isTrue = code === JUMP_IF_EQUAL ? accumulator === operand : accumulator > operand;
      at += isTrue ? whenTrue : whenFalse;
    } else {
      const isFromNetwork = operand >= NETWORK_HEADER;
      const offset = isFromNetwork ? operand - NETWORK_HEADER : operand + dataAt;
      const length = code === LOAD_BYTE_AT ? 1 : code === LOAD_HALF_AT ? 2 : 4;
      if (offset + length > (isFromNetwork ? linearBytes : packet.length)) return DROPPED;
      accumulator = octets.getUint8(offset);
      for (let next = 1; next < length; next += 1)
        accumulator = accumulator * 256 + octets.getUint8(offset + next);
    }
  }
}
