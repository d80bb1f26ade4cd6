/** The multicast groups of VRRP. Pure. */
import { type Family, type IpAddress, ipFromOctets } from '../ip/address.ts';

/** RFC 9568 5.1.1.2, 5.1.2.2 */
export const VRRP_GROUP: Record<Family, IpAddress> = {
  IPv4: ipFromOctets(Uint8Array.of(224, 0, 0, 18)),
  IPv6: ipFromOctets(Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12)),
};
