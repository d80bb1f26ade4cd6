/**
 * UDP between neighbors: sent with TTL (hop limit) 255, and received only with 255 (RFC 5082), which a socket filter
 * checks, as Node tells the TTL of no datagram. Works in any thread.
 */
import { createSocket } from 'node:dgram';
import { type IpAddress, parseSocketAddress } from '../../ip/address.ts';
import { libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  SOCK_DGRAM,
} from '../../net/linux.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { attachProgram, openSocket, setOption } from '../../net/socket.ts';
import { SENT_ON_LINK } from '../../net/on-link-filter.ts';

export type OnLinkUdpOptions = {
  /** Where to listen, and the source of what is sent: one of the host's own addresses. */
  readonly address: IpAddress;
  readonly port: number;
  /** `source` is null when it is no address that this program knows of. */
  readonly onDatagram: (octets: Uint8Array, source: IpAddress | null) => void;
  readonly onError: (error: Error) => void;
};

export interface OnLinkUdp {
  /** Sends to the same port of a neighbor. A failure goes to onError. */
  send(octets: Uint8Array, to: IpAddress): void;
  close(): void;
}

/** Throws NetError: EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not the host's. */
export function openOnLinkUdp({ address, port, onDatagram, onError }: OnLinkUdpOptions): OnLinkUdp {
  const fd = bindSocket(address, port);
  const socket = createSocket(address.family === 'IPv4' ? 'udp4' : 'udp6');
  let isOpen = true;
  socket.on('message', (octets, { address: source }) => onDatagram(octets, parseSocketAddress(source)));
  socket.on('error', onError);
  socket.bind({ fd });
  return {
    send: (octets, to) => {
      if (!isOpen) return;
      socket.send(octets, port, to.text, (error) => {
        if (error !== null && isOpen) onError(error);
      });
    },
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      socket.close();
    },
  };
}

function bindSocket(address: IpAddress, port: number): number {
  const isIpv4 = address.family === 'IPv4';
  const what = `cannot listen on UDP port ${port} of ${address.text}`;
  const kind = { domain: isIpv4 ? AF_INET : AF_INET6, type: SOCK_DGRAM };
  return openSocket(kind, what, (fd) => {
    const set = (level: number, name: number, value: number): void => {
      required(setOption(fd, level, name, value), what);
    };
    // The filter before the address, so that nothing unfiltered is ever queued.
    attachProgram(fd, SENT_ON_LINK[address.family], what);
    if (isIpv4) set(IPPROTO_IP, IP_TTL, 255);
    else {
      set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
      set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255);
    }
    const socketAddress = encodeSocketAddress(address, port);
    required(libc.bind(fd, socketAddress, socketAddress.length), what);
  });
}
