/**
 * A raw socket that sends whole IP packets of any protocol along the host's routes (raw(7), IPPROTO_RAW). Any thread.
 */
import { type Family, ipFromOctets } from '../../ip/address.ts';
import { callError, libc, required } from '../../net/libc.ts';
import { AF_INET, AF_INET6, IPPROTO_RAW, SOCK_RAW } from '../../net/linux.ts';
import { encodeSocketAddress } from '../../net/socket-address.ts';
import { newSocket } from '../../net/socket.ts';
import { IP_LAYOUT } from '../../wire/ip.ts';

export class SegmentSocket {
  readonly #fd: number;
  readonly #family: Family;
  #closed = false;

  /** Throws NetError: EPERM without CAP_NET_RAW. */
  constructor(family: Family) {
    this.#family = family;
    const domain = family === 'IPv4' ? AF_INET : AF_INET6;
    const result = newSocket({ domain, type: SOCK_RAW, protocol: IPPROTO_RAW });
    this.#fd = required(result, `cannot open a raw ${family} socket`);
  }

  /** Sends a packet to the destination that its header names. Throws NetError, such as ENETUNREACH or EPERM. */
  send(packet: Uint8Array): void {
    if (this.#closed) return;
    const { destinationAt, addressBytes } = IP_LAYOUT[this.#family];
    const destination = packet.subarray(destinationAt, destinationAt + addressBytes);
    const address = encodeSocketAddress(ipFromOctets(destination), 0);
    const result = libc.sendto(this.#fd, packet, packet.length, 0, address, address.length);
    if (result < 0) throw callError(result, `cannot send a packet to ${ipFromOctets(destination).text}`);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }
}
