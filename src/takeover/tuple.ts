/**
 * A client's end of a connection to the VIP: the two parts of the 4-tuple that differ. As a key, and as octets. Pure.
 */
import type { Family, IpAddress } from '../ip/address.ts';

/** The octets of address and port, one per character: 6 for IPv4, 18 for IPv6. Small, comparable, and no object. */
export type ClientKey = string;

/** Of a key on the wire. */
export const TUPLE_BYTES: Record<Family, number> = { IPv4: 6, IPv6: 18 };

/**
 * The key of a client; null for one that no segment can be sent to: port 0, loopback, multicast, broadcast, reserved,
 * the unspecified address, and link-local ones, whose interface the octets do not tell.
 */
export function clientKey(address: IpAddress, port: number): ClientKey | null {
  if (port < 1 || port > 0xffff || !isUnicast(address.octets)) return null;
  return String.fromCharCode(...address.octets, port >> 8, port & 0xff);
}

/** The key that `octets` hold at `offset`, which has room for it; null as above. */
export function readClientKey(octets: Uint8Array, offset: number, family: Family): ClientKey | null {
  const tuple = octets.subarray(offset, offset + TUPLE_BYTES[family]);
  const port = ((tuple[tuple.length - 2] ?? 0) << 8) | (tuple[tuple.length - 1] ?? 0);
  return port === 0 || !isUnicast(tuple.subarray(0, -2)) ? null : String.fromCharCode(...tuple);
}

/** The octets of a key's address, one per character. */
export function addressOf(key: ClientKey): string {
  return key.slice(0, -2);
}

/** Writes address and port of a key. */
export function writeClientKey(octets: Uint8Array, offset: number, key: ClientKey): void {
  for (let index = 0; index < key.length; index += 1) octets[offset + index] = key.charCodeAt(index);
}

function isUnicast(octets: Uint8Array): boolean {
  const first = octets[0] ?? 0;
  if (octets.length === 4) return first !== 0 && first !== 127 && first < 224;
  const isZeroPrefixed = octets.subarray(0, 8).every((octet) => octet === 0);
  const isLinkLocalUnicast = first === 0xfe && ((octets[1] ?? 0) & 0xc0) === 0x80;
  return !isZeroPrefixed && first !== 0xff && !isLinkLocalUnicast;
}
