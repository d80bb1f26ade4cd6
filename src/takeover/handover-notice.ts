/**
 * What nodes tell each other before a planned handover, on the same channel as the clients:
 * ```
 * | version|kind  | step          | VRID          | 0             |
 * | MAC address of the sender, 6 octets ...                       |
 * ```
 * Version is 1 and kind 2. Pure: octets to values and back. Decoding never throws.
 */

export type HandoverNotice = {
  readonly vrid: number;
  /** `leaving`: the sender will give the VIP up in a moment; `ready`: the answer of one that might take it. */
  readonly step: 'leaving' | 'ready';
  /** Where frames reach the sender on the segment. */
  readonly mac: Uint8Array;
};

const VERSION_AND_KIND = 0x12;
const MAC_AT = 4;
const MAC_BYTES = 6;
const STEPS = ['leaving', 'ready'] as const;

/** Whether a datagram is one of these. */
export function isHandoverNotice(octets: Uint8Array): boolean {
  return octets[0] === VERSION_AND_KIND;
}

/** The MAC address must have six octets. */
export function encodeHandoverNotice({ vrid, step, mac }: HandoverNotice): Uint8Array {
  return Uint8Array.of(VERSION_AND_KIND, STEPS.indexOf(step) + 1, vrid, 0, ...mac);
}

/** Null for what is not exactly one for this virtual router. */
export function decodeHandoverNotice(octets: Uint8Array, vrid: number): HandoverNotice | null {
  const step = STEPS[(octets[1] ?? 0) - 1];
  const isWhole = isHandoverNotice(octets) && octets.length === MAC_AT + MAC_BYTES && octets[3] === 0;
  if (!isWhole || octets[2] !== vrid || step === undefined) return null;
  const mac = octets.slice(MAC_AT);
  // The lowest bit of the first octet marks a group of hosts.
  return (mac[0] ?? 0) % 2 === 1 || mac.every((octet) => octet === 0) ? null : { vrid, step, mac };
}
