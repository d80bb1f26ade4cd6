/** The Internet checksum (RFC 1071), of IPv4 headers and of what IP carries. Pure. */
import { readU16 } from './octets.ts';

/**
 * The checksum, 0-65535, of octets in parts, of which all but the last have an even length; 0 when they contain a
 * checksum that is right. `sum` is what else it covers: pseudoHeaderSum, or 0.
 */
export function internetChecksum(sum: number, ...parts: readonly Uint8Array[]): number {
  let total = sum;
  for (const octets of parts) {
    // An odd last octet counts as the high one of its word (RFC 1071 4.1).
    for (let index = 0; index < octets.length; index += 2) total += readU16(octets, index);
  }
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}

/** The sum of the pseudo-header of a message of `bytes` octets: IPv4, RFC 9293 3.1; IPv6, RFC 8200 8.1. */
export function pseudoHeaderSum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  bytes: number,
): number {
  let sum = protocol + bytes;
  for (const address of [source, destination]) {
    for (let index = 0; index < address.length; index += 2) sum += readU16(address, index);
  }
  return sum;
}
