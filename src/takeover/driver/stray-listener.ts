/**
 * A listener beside the ones that serve a TCP port, to which the kernel gives those segments that belong to no
 * connection of this host. It answers them with RST, as the others would, but can be told to be silent, so that
 * somebody else can answer. No packet filter of the host is needed, and nothing outlives the process.
 *
 * It works by SO_REUSEPORT (socket(7)): all listeners of a port are a group, and a program chooses among them.
 */
import { parseIp } from '../../ip/address.ts';
import {
  NOTHING,
  SO_ATTACH_FILTER,
  type SocketFilter,
  SOL_SOCKET,
  withFilterProgram,
} from '../../net/bpf.ts';
import { lastError, libc } from '../../net/libc.ts';
import { AF_INET, AF_INET6, encodeSocketAddress } from '../../net/socket-address.ts';
import { sharePort } from '../../net/socket-options.ts';
import { strayListenerAfter } from './tcp-filters.ts';

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SO_DETACH_FILTER = 27;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const FALSE = Buffer.alloc(4);

export class StrayListener {
  readonly #fd: number;
  #closed = false;

  /**
   * `listeners` sockets of this process listen on every address of the host at `port` already, and share it
   * (SO_REUSEPORT). Throws NetError: EADDRINUSE when they do not share it.
   */
  constructor(port: number, listeners: number) {
    const fd = openListening(port);
    this.#fd = fd;
    try {
      // A SYN must not come here before the program says so: its client would wait for ever.
      this.silence();
      if (libc.listen(fd, 1) === -1) throw lastError(`cannot listen for stray segments to port ${port}`);
      attach(fd, SO_ATTACH_REUSEPORT_CBPF, strayListenerAfter(listeners));
      this.speak();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** From now on stray segments are dropped. Throws NetError. */
  silence(): void {
    if (!this.#closed) attach(this.#fd, SO_ATTACH_FILTER, NOTHING);
  }

  /** From now on they are answered with RST again. */
  speak(): void {
    if (this.#closed) return;
    libc.setsockopt(this.#fd, SOL_SOCKET, SO_DETACH_FILTER, FALSE, FALSE.length);
  }

  /** To be called before any of the others is closed, as the kernel would give this one its place. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}

function attach(fd: number, option: number, filter: SocketFilter): void {
  withFilterProgram(filter, (program) => {
    if (libc.setsockopt(fd, SOL_SOCKET, option, program, program.length) === -1)
      throw lastError('cannot attach a program to the listener for stray segments');
  });
}

/** On every address: of both families, or of IPv4 where the host has no other, as the listeners that serve. */
function openListening(port: number): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const ipv6 = libc.socket(AF_INET6, type, 0);
  const fd = ipv6 === -1 ? libc.socket(AF_INET, type, 0) : ipv6;
  const what = `cannot open a listener for stray segments to port ${port}`;
  if (fd === -1) throw lastError(what);
  try {
    sharePort(fd);
    if (ipv6 !== -1 && libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, FALSE, FALSE.length) === -1)
      throw lastError(what);
    const every = parseIp(ipv6 === -1 ? '0.0.0.0' : '::');
    const address = every === null ? FALSE : encodeSocketAddress(every, port);
    if (libc.bind(fd, address, address.length) === -1) throw lastError(what);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}
