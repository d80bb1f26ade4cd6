/**
 * UDP between neighbors on one link, from and to one port. The kernel turns away all that is not from a neighbor's
 * socket on that port, sent on that link (on-link-filter.ts), so that it costs this process nothing. Works in any
 * thread.
 *
 * The source port is proof that a datagram comes from the program that has the port there, as long as no other program
 * of that host can send from it. A socket on one address does not see to that: any user can bind the port on 127.0.0.1
 * or on the VIP, and name the host's own address as a datagram's source (IP_PKTINFO, ip(7)). Therefore the port is held
 * on all addresses of both families, by a second socket that receives nothing. Neither socket is bound to the
 * interface: the kernel lets any user bind a port again on another interface (SO_BINDTODEVICE) and send from there.
 */
import { createSocket } from 'node:dgram';
import { type IpAddress, ipFromOctets, parseSocketAddress } from '../../ip/address.ts';
import { NOTHING } from '../../net/bpf.ts';
import { libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  EAFNOSUPPORT,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  SK_MEMINFO_DROPS,
  SO_MEMINFO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
} from '../../net/linux.ts';
import { datagramsOfNeighbors } from '../../net/on-link-filter.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { attachProgram, newSocket, openSocket, setOption } from '../../net/socket.ts';

/** Whose datagrams are received. */
export type Reception = {
  /** Of the family of the socket's address. */
  readonly neighbors: readonly IpAddress[];
  /** The interface that their datagrams come in by; null: nothing is received, as there is none. */
  readonly linkIndex: number | null;
};

export type OnLinkUdpOptions = {
  /** Where to listen, and the source of what is sent: one of the host's own addresses. */
  readonly address: IpAddress;
  readonly port: number;
  readonly reception: Reception;
  /** `source` is null when it is no address that this program knows of. */
  readonly onDatagram: (octets: Uint8Array, source: IpAddress | null) => void;
  readonly onError: (error: Error) => void;
};

export interface OnLinkUdp {
  /** Sends to the same port of a neighbor. A failure goes to onError. */
  send(octets: Uint8Array, to: IpAddress): void;
  /** From now on these datagrams are received; what is queued already stays. Throws NetError. */
  receive(reception: Reception): void;
  /** How many datagrams the kernel has turned away or had no room for, modulo 2^32, until now or until `close`. */
  dropped(): number;
  close(): void;
}

/** Throws NetError: EADDRINUSE when the port is taken, EADDRNOTAVAIL when the address is not the host's. */
export function openOnLinkUdp(options: OnLinkUdpOptions): OnLinkUdp {
  const { address, port, onDatagram, onError } = options;
  const { fd, holderFd } = bindSockets(options);
  const socket = createSocket(address.family === 'IPv4' ? 'udp4' : 'udp6');
  let isOpen = true;
  let lastDropped = 0;
  socket.on('message', (octets, { address: source }) => onDatagram(octets, parseSocketAddress(source)));
  socket.on('error', onError);
  socket.bind({ fd });
  // libuv lets others use the address of a socket that it is given.
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  const dropped = (): number => {
    if (isOpen) lastDropped = readDrops(fd) ?? lastDropped;
    return lastDropped;
  };
  return {
    send: (octets, to) => {
      if (!isOpen) return;
      socket.send(octets, port, to.text, (error) => {
        if (error !== null && isOpen) onError(error);
      });
    },
    receive: (reception) => {
      if (isOpen) attachReception(fd, options, reception);
    },
    dropped,
    close: () => {
      if (!isOpen) return;
      dropped();
      isOpen = false;
      socket.close();
      libc.close(holderFd);
    },
  };
}

/**
 * The two sockets share the port while they are bound, which the kernel allows to one user alone (SO_REUSEPORT, unlike
 * SO_REUSEADDR), and no longer afterwards.
 */
function bindSockets(options: OnLinkUdpOptions): { readonly fd: number; readonly holderFd: number } {
  const { address, port, reception } = options;
  const holderFd = holdPort(port);
  try {
    const isIpv4 = address.family === 'IPv4';
    const what = `cannot listen on UDP port ${port} of ${address.text}`;
    const fd = openSocket({ domain: isIpv4 ? AF_INET : AF_INET6, type: SOCK_DGRAM }, what, (opened) => {
      const set = setterOf(opened, what);
      // The filter before the address, so that nothing unfiltered is ever queued.
      attachReception(opened, options, reception);
      if (isIpv4) set(IPPROTO_IP, IP_TTL, 255);
      else {
        set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255);
      }
      set(SOL_SOCKET, SO_REUSEPORT, 1);
      const socketAddress = encodeSocketAddress(address, port);
      required(libc.bind(opened, socketAddress, socketAddress.length), what);
      for (const shared of [opened, holderFd]) setterOf(shared, what)(SOL_SOCKET, SO_REUSEPORT, 0);
    });
    return { fd, holderFd };
  } catch (error) {
    libc.close(holderFd);
    throw error;
  }
}

/** A socket that has the port on all addresses, of IPv6 as well where the kernel has it, and receives nothing. */
function holdPort(port: number): number {
  const what = `cannot have UDP port ${port} of all addresses for this program alone`;
  const probe = newSocket({ domain: AF_INET6, type: SOCK_DGRAM });
  const hasIpv6 = probe !== -EAFNOSUPPORT;
  if (probe >= 0) libc.close(probe);
  return openSocket({ domain: hasIpv6 ? AF_INET6 : AF_INET, type: SOCK_DGRAM }, what, (fd) => {
    const set = setterOf(fd, what);
    attachProgram(fd, NOTHING, what);
    // IPv4 as well, whatever net.ipv6.bindv6only says.
    if (hasIpv6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set(SOL_SOCKET, SO_REUSEPORT, 1);
    const anywhere = hasIpv6 ? ANY_ADDRESS.IPv6 : ANY_ADDRESS.IPv4;
    const socketAddress = encodeSocketAddress(anywhere, port);
    required(libc.bind(fd, socketAddress, socketAddress.length), what);
  });
}

const ANY_ADDRESS = {
  IPv4: ipFromOctets(new Uint8Array(4)),
  IPv6: ipFromOctets(new Uint8Array(16)),
};

function setterOf(fd: number, what: string): (level: number, name: number, value: number) => void {
  return (level, name, value) => {
    required(setOption(fd, level, name, value), what);
  };
}

function attachReception(
  fd: number,
  { address, port }: OnLinkUdpOptions,
  { neighbors, linkIndex }: Reception,
): void {
  const { family } = address;
  const filter =
    linkIndex === null
      ? NOTHING
      : datagramsOfNeighbors({ family, sources: neighbors, sourcePort: port, linkIndex });
  attachProgram(fd, filter, `cannot filter what comes to UDP port ${port} of ${address.text}`);
}

/** Null where the kernel does not tell. */
function readDrops(fd: number): number | null {
  const memory = Buffer.alloc((SK_MEMINFO_DROPS + 1) * 4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(memory.length);
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, length);
  return result < 0 ? null : memory.readUInt32LE(SK_MEMINFO_DROPS * 4);
}
