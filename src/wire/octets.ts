/** Numbers and addresses in a packet. Pure. */

/** Big-endian; octets past the end are zero. */
export function readU16(octets: Uint8Array, offset: number): number {
  return ((octets[offset] ?? 0) << 8) | (octets[offset + 1] ?? 0);
}

/** Big-endian; `value` is 0-65535. */
export function writeU16(octets: Uint8Array, offset: number, value: number): void {
  octets[offset] = value >> 8;
  octets[offset + 1] = value & 0xff;
}

/** True when `octets` stand in `packet` at `offset`. */
export function hasOctetsAt(packet: Uint8Array, offset: number, octets: Uint8Array): boolean {
  for (let index = 0; index < octets.length; index += 1) {
    if (packet[offset + index] !== octets[index]) return false;
  }
  return true;
}
