/** A raw socket that sends whole IP packets of any protocol along the host's routes (raw(7), IPPROTO_RAW). Any thread. */
import { type Family, ipFromOctets } from '../../ip/address.ts';
import { lastError, libc } from '../../net/libc.ts';
import { AF_INET, AF_INET6, encodeSocketAddress } from '../../net/socket-address.ts';

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** Implies IP_HDRINCL, with IPv6 as well. Receives nothing. */
const IPPROTO_RAW = 255;

export class SegmentSocket {
  readonly #fd: number;
  readonly #family: Family;
  #closed = false;

  /** Throws NetError: EPERM without CAP_NET_RAW. */
  constructor(family: Family) {
    this.#family = family;
    const domain = family === 'IPv4' ? AF_INET : AF_INET6;
    this.#fd = libc.socket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
    if (this.#fd === -1) throw lastError(`cannot open a raw ${family} socket`);
  }

  /** Sends a packet to the destination that its header names. Throws NetError, such as ENETUNREACH or EPERM. */
  send(packet: Uint8Array): void {
    if (this.#closed) return;
    const destination = this.#family === 'IPv4' ? packet.subarray(16, 20) : packet.subarray(24, 40);
    const address = encodeSocketAddress(ipFromOctets(destination), 0);
    if (libc.sendto(this.#fd, packet, packet.length, 0, address, address.length) === -1)
      throw lastError(`cannot send a packet to ${ipFromOctets(destination).text}`);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}
