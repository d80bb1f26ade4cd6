/**
 * The message by which an Active tells its peers which clients it serves. UDP, one message a datagram:
 * ```
 *  0                   1                   2                   3
 * | version|kind  | family 4 or 6 | VRID          | sweep         |
 * | generation                                                    |
 * | sequence                                                      |
 * | opened                        | closed                        |
 * | tuples: client address and port, the opened ones first ...    |
 * ```
 * Version is 1 and kind 1; other kinds: handover-notice.ts. Pure: octets to values and back. Decoding never throws.
 */
import type { Family } from '../ip/address.ts';
import { type ClientKey, readClientKey, TUPLE_BYTES, writeClientKey } from './tuple.ts';

export type ClientsMessage = {
  readonly family: Family;
  readonly vrid: number;
  /** 0-255, counts the passes over all of the sender's clients; a client missing from two whole passes is gone. */
  readonly sweep: number;
  /** 32 bits, another one each time the sender starts. */
  readonly generation: number;
  /** 32 bits, one more with each message. */
  readonly sequence: number;
  /** New clients, and such that a sweep repeats. */
  readonly opened: readonly ClientKey[];
  readonly closed: readonly ClientKey[];
};

/** Why a message is not accepted; also the label of the counter. */
export const MESSAGE_REJECTS = [
  'too_short',
  'version',
  'family',
  'vrid',
  'length',
  'tuple',
  'stale',
  'notice',
] as const;
export type MessageReject = (typeof MESSAGE_REJECTS)[number];

export type Decoded =
  | { readonly ok: true; readonly message: ClientsMessage }
  | { readonly ok: false; readonly reason: MessageReject };

const VERSION_AND_KIND = 0x11;
const HEADER_BYTES = 16;
/** Fits any path inside one segment, also through an overlay. */
const MESSAGE_MAX_BYTES = 1200;

/** How many tuples one message takes. */
export function messageCapacity(family: Family): number {
  return Math.floor((MESSAGE_MAX_BYTES - HEADER_BYTES) / TUPLE_BYTES[family]);
}

/** `opened` and `closed` together must not exceed messageCapacity; all keys must be of the family. */
export function encodeMessage(message: ClientsMessage): Uint8Array {
  const { family, opened, closed } = message;
  const tupleBytes = TUPLE_BYTES[family];
  const octets = new Uint8Array(HEADER_BYTES + (opened.length + closed.length) * tupleBytes);
  const view = new DataView(octets.buffer);
  octets.set([VERSION_AND_KIND, family === 'IPv4' ? 4 : 6, message.vrid, message.sweep]);
  view.setUint32(4, message.generation);
  view.setUint32(8, message.sequence);
  view.setUint16(12, opened.length);
  view.setUint16(14, closed.length);
  let offset = HEADER_BYTES;
  for (const keys of [opened, closed]) {
    for (const key of keys) {
      writeClientKey(octets, offset, key);
      offset += tupleBytes;
    }
  }
  return octets;
}

/** A ladder of checks; nothing of a message that fails one is used. */
export function decodeMessage(octets: Uint8Array, vrid: number): Decoded {
  if (octets.length < HEADER_BYTES) return { ok: false, reason: 'too_short' };
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  if (octets[0] !== VERSION_AND_KIND) return { ok: false, reason: 'version' };
  if (octets[1] !== 4 && octets[1] !== 6) return { ok: false, reason: 'family' };
  if (octets[2] !== vrid) return { ok: false, reason: 'vrid' };
  const family = octets[1] === 4 ? 'IPv4' : 'IPv6';
  const openedCount = view.getUint16(12);
  const count = openedCount + view.getUint16(14);
  if (octets.length !== HEADER_BYTES + count * TUPLE_BYTES[family]) return { ok: false, reason: 'length' };
  const keys: ClientKey[] = [];
  for (let index = 0; index < count; index += 1) {
    const key = readClientKey(octets, HEADER_BYTES + index * TUPLE_BYTES[family], family);
    if (key === null) return { ok: false, reason: 'tuple' };
    keys.push(key);
  }
  const message: ClientsMessage = {
    family,
    vrid,
    sweep: octets[3] ?? 0,
    generation: view.getUint32(4),
    sequence: view.getUint32(8),
    opened: keys.slice(0, openedCount),
    closed: keys.slice(openedCount),
  };
  return { ok: true, message };
}
