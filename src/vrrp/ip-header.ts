/** The IP header of a VRRP packet (RFC 9568 5.1). Pure. */
import type { IpAddress } from '../ip/address.ts';
import { PROTOCOL_VRRP, writeIpHeader } from '../wire/ip.ts';

/** TTL or hop limit of what is sent; others are discarded on arrival (RFC 9568 5.1.1.3, 5.1.2.3). */
export const VRRP_HOP_LIMIT = 255;
/** Class selector 6, network control, as all routers mark VRRP. */
const NETWORK_CONTROL = 0xc0;

/** Writes the header of a packet that carries a VRRP message at the start of `packet`, of the addresses' family. */
export function writeVrrpIpHeader(
  packet: Uint8Array,
  source: IpAddress,
  destination: IpAddress,
  payloadBytes: number,
): void {
  writeIpHeader(packet, {
    source: source.octets,
    destination: destination.octets,
    protocol: PROTOCOL_VRRP,
    trafficClass: NETWORK_CONTROL,
    hopLimit: VRRP_HOP_LIMIT,
    payloadBytes,
  });
}
