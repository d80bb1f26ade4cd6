/** TCP sockets as descriptors: listening, accepting, connecting, and whom they connect. */
import { type IpAddress, ipFromOctets } from '../../ip/address.ts';
import { callError, errnoCode, FixedMemory, libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  EINPROGRESS,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  NONBLOCK_CLOEXEC,
  SO_ACCEPTCONN,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_USER_TIMEOUT,
} from '../../net/linux.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { newSocket, openSocket, setOption } from '../../net/socket.ts';

/** What both ends of a relayed connection have set. */
export type ConnectionOptions = {
  /** Silence after which the kernel begins to probe the peer. */
  readonly keepAliveIdleMs: number;
  /** How long sent data or probes may go unanswered before the connection is given up (TCP_USER_TIMEOUT). */
  readonly userTimeoutMs: number;
};

/** Between probes of a silent peer; TCP_USER_TIMEOUT says when to give up. */
const KEEPALIVE_INTERVAL_SECONDS = 5;

/** A struct sockaddr at an address of its own. */
export type SocketAddress = { readonly memory: FixedMemory; readonly lengthBytes: number };

const MAX_SOCKADDR_BYTES = 28;
const name = new FixedMemory(MAX_SOCKADDR_BYTES);
const otherName = new FixedMemory(MAX_SOCKADDR_BYTES);
const nameLength = new FixedMemory(4);

/** struct linger: on, 0 seconds. */
const LINGER_FOR_NO_TIME = new FixedMemory(8);
LINGER_FOR_NO_TIME.words[0] = 1;

export function socketAddress(address: IpAddress, port: number): SocketAddress {
  const encoded = encodeSocketAddress(address, port);
  const memory = new FixedMemory(encoded.length);
  memory.bytes.set(encoded);
  return { memory, lengthBytes: encoded.length };
}

/**
 * What the kernel takes for a peer beyond what is in flight (TCP_NOTSENT_LOWAT, tcp(7)); by default it is all of
 * net.ipv4.tcp_wmem, 4 MiB, which each client that stops reading a large answer would fill. Half of it already costs
 * bulk transfers a fifth of their speed per core; so does a receive buffer of fixed size.
 */
const UNSENT_BYTES = 1024 * 1024;

/** Has the kernel find out that the peer is gone. */
export function keepWatch(fd: number, { keepAliveIdleMs, userTimeoutMs }: ConnectionOptions): void {
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, Math.max(1, Math.round(keepAliveIdleMs / 1000)));
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS);
  setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Math.round(userTimeoutMs));
}

export type ListenOptions = ConnectionOptions & {
  /** 0 takes any free port. */
  readonly port: number;
  /** True: others of this user may have the port already, and the kernel shares the clients out. */
  readonly reusePort: boolean;
  /** Clients that may wait to be accepted; the kernel caps it at net.core.somaxconn. */
  readonly backlog: number;
};

/**
 * Listens on all addresses of a family, AF_INET6 with IPv4 as well. Accepted sockets inherit the connection options
 * (tcp(7): they are the listener's). Throws NetError: EADDRINUSE, EACCES; EAFNOSUPPORT or EADDRNOTAVAIL without IPv6.
 */
export function openListener(family: typeof AF_INET | typeof AF_INET6, options: ListenOptions): number {
  return openSocket({ domain: family, type: SOCK_STREAM }, 'cannot make a TCP socket', (fd) => {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    keepWatch(fd, options);
    setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES);
    const any = encodeSocketAddress(ipFromOctets(new Uint8Array(family === AF_INET ? 4 : 16)), options.port);
    const what = `cannot listen on port ${options.port}`;
    required(libc.bind(fd, any, any.length), what);
    required(libc.listen(fd, options.backlog), what);
    // So that takeover/driver/stray-listener can stand beside it; until here it made sure that nobody else had the
    // port.
    setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  });
}

/** Closes a connection with RST: what waits in its buffers is dropped (socket(7), SO_LINGER with a time of 0). */
export function closeWithReset(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_FOR_NO_TIME.address, LINGER_FOR_NO_TIME.bytes.length);
  libc.close(fd);
}

/**
 * How long sent data may stay unacknowledged, in whole milliseconds, before the kernel ends the connection with
 * ETIMEDOUT (tcp(7); RFC 5482). 0 is the system's default, about 15 minutes. Throws NetError: EBADF, ENOTSOCK.
 */
export function setUserTimeoutMs(fd: number, timeoutMs: number): void {
  const result = setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Math.round(timeoutMs));
  if (result < 0) throw callError(result, `cannot set TCP_USER_TIMEOUT on descriptor ${fd}`);
}

/** The next client that waits; minus an errno when there is none. Its address is `acceptedClient`'s. */
export function acceptClient(listener: number): number {
  nameLength.words[0] = MAX_SOCKADDR_BYTES;
  return libc.accept4(listener, name.address, nameLength.address, NONBLOCK_CLOEXEC);
}

/** False when a listener has been closed from outside, by `ss -K` for example, so that no client reaches it. */
export function isListening(listener: number): boolean {
  nameLength.words[0] = 4;
  const got = libc.getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, otherName.address, nameLength.address);
  return got === 0 && otherName.words[0] === 1;
}

/** A socket's port in a struct sockaddr. */
function portOf({ bytes }: FixedMemory): number {
  return ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
}

/** Whom `acceptClient` accepted last. */
export function acceptedClient(): { readonly text: string; readonly port: number } {
  return { text: addressText(name), port: portOf(name) };
}

/** The local address of a socket, '' when it has none any more. */
export function localAddress(fd: number): { readonly text: string; readonly port: number } {
  return readName(libc.getsockname, fd, name)
    ? { text: addressText(name), port: portOf(name) }
    : { text: '', port: 0 };
}

/** Both ends of a connection have the same address only when the far end is on this host. */
export function connectsToItself(fd: number): boolean {
  if (!readName(libc.getsockname, fd, name) || !readName(libc.getpeername, fd, otherName)) return false;
  return addressText(name) === addressText(otherName);
}

function readName(call: typeof libc.getsockname, fd: number, memory: FixedMemory): boolean {
  nameLength.words[0] = MAX_SOCKADDR_BYTES;
  return call(fd, memory.address, nameLength.address) === 0;
}

/** Faults of this host: they say nothing about the backend. */
const OWN_FAULTS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);

/** True when a backend that could not be connected for this reason (an errno name) may be sound. */
export function isOwnFault(reason: string): boolean {
  return OWN_FAULTS.has(reason);
}

/** The socket of a connection that is being made, or why it cannot be. `keepWatch` is the caller's to call. */
export function startConnecting(to: SocketAddress): number | { readonly reason: string } {
  const family = to.lengthBytes === MAX_SOCKADDR_BYTES ? AF_INET6 : AF_INET;
  const fd = newSocket({ domain: family, type: SOCK_STREAM });
  if (fd < 0) return { reason: errnoCode(-fd) };
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES);
  const result = libc.connect(fd, to.memory.address, to.lengthBytes);
  if (result === 0 || result === -EINPROGRESS) return fd;
  libc.close(fd);
  return { reason: errnoCode(-result) };
}

const MAPPED_WORD = 0xffff_0000 | 0;

/** As Node prints it: `192.0.2.1`, `::ffff:192.0.2.1`, `2001:db8::1`; link-local with the number of its interface. */
function addressText({ bytes, words }: FixedMemory): string {
  const family = (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
  if (family === AF_INET) return dotted(bytes, 4);
  if (words[2] === 0 && words[3] === 0 && words[4] === MAPPED_WORD) return `::ffff:${dotted(bytes, 20)}`;
  const { text } = ipFromOctets(bytes.subarray(8, 24));
  const scope = words[6] ?? 0;
  return scope === 0 ? text : `${text}%${scope}`;
}

function dotted(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}
