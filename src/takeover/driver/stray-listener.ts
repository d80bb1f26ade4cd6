/**
 * A listener beside the ones that serve a TCP port, for the time of a handover: the kernel gives it those segments to
 * the VIPs that belong to no connection of this host, and it drops them, so that somebody else can answer. No packet
 * filter of the host is needed, and nothing outlives the process.
 *
 * It works by SO_REUSEPORT (socket(7)): all listeners of a port are a group, and a program chooses among them.
 * Outside a handover there is neither this listener nor a program, and the kernel's own hash spreads the clients.
 *
 * A client whose SYN the kernel has answered with a cookie, in a flood or with net.ipv4.tcp_syncookies=2, is stray as
 * well until its data comes: its ACK is dropped, not taken in. It repeats its data, and the cookie in that is good for
 * two minutes, so it is served when the handover is over at the latest.
 */
import { type IpAddress, ipFromOctets } from '../../ip/address.ts';
import { NOTHING } from '../../net/bpf.ts';
import { libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DETACH_REUSEPORT_BPF,
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
   * (SO_REUSEPORT). From now on they get no stray segments to `vips`, which are dropped. Throws NetError: EADDRINUSE
   * when they do not share the port.
   */
  constructor(port: number, listeners: number, vips: readonly IpAddress[]) {
    const what = `cannot open a listener for stray segments to port ${port}`;
    this.#fd = openBound(port, (fd) => {
      // Whatever the kernel's hash gives it without the program, now and at the end, is dropped and comes again.
      // Nothing is ever taken in here, where it would wait for ever.
      attachProgram(fd, NOTHING, what);
      required(libc.listen(fd, 1), what);
      attachProgram(fd, strayListenerAfter(listeners, vips), what, SO_ATTACH_REUSEPORT_CBPF);
    });
  }

  /**
   * From now on the kernel resets stray segments again. To be called before any of the others is closed, as the kernel
   * would give this one its place.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // An older kernel keeps the program, which spreads as before without this listener.
    setOption(this.#fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0);
    libc.close(this.#fd);
  }
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
