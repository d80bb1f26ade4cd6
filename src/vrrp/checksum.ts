/** The Internet checksum (RFC 1071) over a VRRP message, with or without a pseudo-header. Pure. */
import type { IpAddress } from '../ip/address.ts';

/** IANA protocol number of VRRP (RFC 9568 5.1.1.4). */
export const VRRP_PROTOCOL = 112;

/**
 * Which octets an IPv4 version 3 checksum covers. RFC 9568 5.2.8 says the message alone; everybody who deployed RFC 5798
 * covers a pseudo-header as well. IPv6 always has the pseudo-header (RFC 8200 8.1), version 2 never.
 */
export type ChecksumForm = 'pseudo-header' | 'message';

/**
 * The checksum of `message`, 0-65535, with its own checksum field (octets 6 and 7) taken as zero.
 * Give `envelope` to cover the pseudo-header of RFC 8200 8.1 (IPv6) or RFC 793 3.1 (IPv4).
 */
export function vrrpChecksum(
  message: Uint8Array,
  envelope: { readonly source: IpAddress; readonly destination: IpAddress } | null,
): number {
  let sum = 0;
  if (envelope !== null) {
    sum += sumOctets(envelope.source.octets) + sumOctets(envelope.destination.octets);
    sum += VRRP_PROTOCOL + message.length;
  }
  sum += sumOctets(message) - (((message[6] ?? 0) << 8) | (message[7] ?? 0));
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** Plain sum of big-endian 16-bit words; an odd last octet counts as the high one (RFC 1071 4.1). */
function sumOctets(octets: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < octets.length; index += 2) {
    sum += ((octets[index] ?? 0) << 8) | (octets[index + 1] ?? 0);
  }
  return sum;
}
