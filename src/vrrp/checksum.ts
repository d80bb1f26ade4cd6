/** The checksum of a VRRP message, with or without a pseudo-header. Pure. */
import type { IpAddress } from '../ip/address.ts';
import { internetChecksum, pseudoHeaderSum } from '../wire/checksum.ts';
import { PROTOCOL_VRRP } from '../wire/ip.ts';

/**
 * Which octets an IPv4 version 3 checksum covers. RFC 9568 5.2.8 says the message alone; everybody who deployed RFC
 * 5798 covers a pseudo-header as well. IPv6 always has the pseudo-header (RFC 8200 8.1), version 2 never.
 */
export type ChecksumForm = 'pseudo-header' | 'message';

/** Where the checksum is in a message, in both versions. */
export const CHECKSUM_AT = 6;

/**
 * The checksum of `message`, 0-65535, with its own checksum field (octets 6 and 7) taken as zero.
 * Give `envelope` to cover the pseudo-header of RFC 8200 8.1 (IPv6) or RFC 793 3.1 (IPv4).
 */
export function vrrpChecksum(
  message: Uint8Array,
  envelope: { readonly source: IpAddress; readonly destination: IpAddress } | null,
): number {
  const sum =
    envelope === null
      ? 0
      : pseudoHeaderSum(envelope.source.octets, envelope.destination.octets, PROTOCOL_VRRP, message.length);
  return internetChecksum(sum, message.subarray(0, CHECKSUM_AT), message.subarray(CHECKSUM_AT + 2));
}
