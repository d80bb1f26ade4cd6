/** Whether this host has an address, as its routing sees it. Takes no lock that another program can hold for long. */
import type { IpAddress } from '../ip/address.ts';
import { libc, required } from './libc.ts';
import { AF_INET, AF_INET6, SOCK_DGRAM } from './linux.ts';
import { openSocket } from './socket.ts';
import { encodeSocketAddress } from './socket-address.ts';

/** Any: nothing is sent. */
const PORT = 9;

/**
 * True when the address is on an interface of this host. A datagram socket that is connected to an own address has that
 * address itself for its source, also a deprecated one (RFC 6724 rule 1). Not bind(2): with net.ipv4.ip_nonlocal_bind
 * that takes any address. Throws NetError.
 */
export function isLocalAddress(address: IpAddress): boolean {
  const domain = address.family === 'IPv4' ? AF_INET : AF_INET6;
  const what = `cannot ask the kernel for ${address.text}`;
  let isLocal = false;
  const fd = openSocket({ domain, type: SOCK_DGRAM }, what, (socket) => {
    const wanted = encodeSocketAddress(address, PORT);
    // Without a route to it, it is not here either.
    if (libc.connect(socket, wanted, wanted.length) < 0) return;
    const source = Buffer.alloc(wanted.length);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(source.length);
    required(libc.getsockname(socket, source, length), what);
    const at = address.family === 'IPv4' ? 4 : 8;
    isLocal = source.subarray(at, at + address.octets.length).equals(Buffer.from(address.octets));
  });
  libc.close(fd);
  return isLocal;
}
