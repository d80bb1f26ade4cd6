/** struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)). */
import type { IpAddress } from '../ip/address.ts';
import { AF_INET, AF_INET6 } from './linux.ts';

/** In the byte order of x86-64 and arm64. Without a scope: not for link-local addresses. */
export function encodeSocketAddress(address: IpAddress, port: number): Buffer {
  const isIpv4 = address.family === 'IPv4';
  const encoded = Buffer.alloc(isIpv4 ? 16 : 28);
  encoded.writeUInt16LE(isIpv4 ? AF_INET : AF_INET6, 0);
  encoded.writeUInt16BE(port, 2);
  encoded.set(address.octets, isIpv4 ? 4 : 8);
  return encoded;
}
