/**
 * A listener beside the ones that serve a TCP port, to which the kernel gives those segments that belong to no
 * connection of this host. It answers them with RST, as the others would, but can be told to be silent, so that
 * somebody else can answer. No packet filter of the host is needed, and nothing outlives the process.
 *
 * It works by SO_REUSEPORT (socket(7)): all listeners of a port are a group, and a program chooses among them.
 */
import { ipFromOctets } from '../../ip/address.ts';
import { NOTHING, type SocketFilter } from '../../net/bpf.ts';
import { libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DETACH_FILTER,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { attachProgram, openSocket, setOption } from '../../net/socket.ts';
import { strayListenerAfter } from './tcp-filters.ts';

export class StrayListener {
  readonly #fd: number;
  #closed = false;

  /**
   * `listeners` sockets of this process listen on every address of the host at `port` already, and share it
   * (SO_REUSEPORT). Throws NetError: EADDRINUSE when they do not share it.
   */
  constructor(port: number, listeners: number) {
    this.#fd = openBound(port, (fd) => {
      // A SYN must not come here before the program says so: its client would wait for ever.
      silence(fd);
      required(libc.listen(fd, 1), `cannot listen for stray segments to port ${port}`);
      attach(fd, strayListenerAfter(listeners), SO_ATTACH_REUSEPORT_CBPF);
      speak(fd);
    });
  }

  /** From now on stray segments are dropped. Throws NetError. */
  silence(): void {
    if (!this.#closed) silence(this.#fd);
  }

  /** From now on they are answered with RST again. */
  speak(): void {
    if (!this.#closed) speak(this.#fd);
  }

  /** To be called before any of the others is closed, as the kernel would give this one its place. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}

function silence(fd: number): void {
  attach(fd, NOTHING);
}

function speak(fd: number): void {
  setOption(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

function attach(fd: number, filter: SocketFilter, option?: number): void {
  attachProgram(fd, filter, 'cannot attach a program to the listener for stray segments', option);
}

/** On every address: of both families, or of IPv4 where the host has no other, as the listeners that serve. */
function openBound(port: number, prepare: (fd: number) => void): number {
  try {
    return openBoundTo(AF_INET6, port, prepare);
  } catch (error) {
    if (!(error instanceof NetError) || error.code !== 'EAFNOSUPPORT') throw error;
    return openBoundTo(AF_INET, port, prepare);
  }
}

function openBoundTo(
  domain: typeof AF_INET | typeof AF_INET6,
  port: number,
  prepare: (fd: number) => void,
): number {
  const isIpv6 = domain === AF_INET6;
  const what = `cannot open a listener for stray segments to port ${port}`;
  return openSocket({ domain, type: SOCK_STREAM }, what, (fd) => {
    required(setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1), what);
    if (isIpv6) required(setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0), what);
    const address = encodeSocketAddress(ipFromOctets(new Uint8Array(isIpv6 ? 16 : 4)), port);
    required(libc.bind(fd, address, address.length), what);
    prepare(fd);
  });
}
