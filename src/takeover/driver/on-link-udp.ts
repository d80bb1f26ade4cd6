/**
 * UDP between neighbours: sent with TTL (hop limit) 255, and received only with 255 (RFC 5082), which a socket filter
 * checks, as Node tells the TTL of no datagram. Works in any thread.
 */
import { createSocket } from 'node:dgram';
import { type IpAddress, parseSocketAddress } from '../../ip/address.ts';
import { SO_ATTACH_FILTER, SOL_SOCKET, withFilterProgram } from '../../net/bpf.ts';
import { lastError, libc } from '../../net/libc.ts';
import { AF_INET, AF_INET6, encodeSocketAddress } from '../../net/socket-address.ts';
import { SENT_ON_LINK } from '../../net/on-link-filter.ts';

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;

export type OnLinkUdpOptions = {
  /** Where to listen, and the source of what is sent: one of the host's own addresses. */
  readonly address: IpAddress;
  readonly port: number;
  /** `source` is null when it is no address that this program knows of. */
  readonly onDatagram: (octets: Uint8Array, source: IpAddress | null) => void;
  readonly onError: (error: Error) => void;
};

export interface OnLinkUdp {
  /** Sends to the same port of a neighbour. A failure goes to onError. */
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
  const fd = libc.socket(isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd === -1) throw lastError(what);
  const set = (level: number, name: number, value: Uint8Array): void => {
    if (libc.setsockopt(fd, level, name, value, value.length) === -1) throw lastError(what);
  };
  try {
    // The filter before the address, so that nothing unfiltered is ever queued.
    withFilterProgram(SENT_ON_LINK[address.family], (program) => set(SOL_SOCKET, SO_ATTACH_FILTER, program));
    if (isIpv4) set(IPPROTO_IP, IP_TTL, int32(255));
    else {
      set(IPPROTO_IPV6, IPV6_V6ONLY, int32(1));
      set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, int32(255));
    }
    const socketAddress = encodeSocketAddress(address, port);
    if (libc.bind(fd, socketAddress, socketAddress.length) === -1) throw lastError(what);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

function int32(value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeInt32LE(value);
  return encoded;
}
