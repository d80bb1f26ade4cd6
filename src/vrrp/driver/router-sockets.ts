/** The sockets of one Router on its link: for advertisements, announcements of the VIP, and claims of others. */
import type { Family, IpAddress } from '../../ip/address.ts';
import { type ClaimHandlers, ClaimWatch } from './claim-watch.ts';
import { type PacketSocket, openPacketSocket } from './packet-socket.ts';
import type { ExpectedAdvertisements } from './vrrp-filters.ts';
import { MAX_QUEUED, type VrrpDatagram, type VrrpSocket, openVrrpSocket } from './vrrp-socket.ts';

/** The interface, once it can be used. `mac` is null where the link has none (then nothing is announced). */
export type RouterLink = {
  readonly index: number;
  readonly name: string;
  readonly mac: Uint8Array | null;
  /** The address that this router sends from: the node's own (IPv4), or its link-local one (IPv6). */
  readonly source: IpAddress;
};

export type RouterSocketsOptions = {
  readonly family: Family;
  readonly link: RouterLink;
  /** Whether to join the group; see VrrpSocketOptions. */
  readonly multicast: boolean;
  readonly expected: ExpectedAdvertisements;
  readonly onDatagram: (datagram: VrrpDatagram) => void;
  /** Reading failed. The sockets are of no more use. */
  readonly onError: (error: Error) => void;
};

/** Opens and begins to deliver. Throws NetError. */
export type OpenRouterSockets = (options: RouterSocketsOptions) => RouterSockets;

export interface RouterSockets {
  /** Hands a VRRP message to the kernel. Throws NetError. */
  send(message: Uint8Array, destination: IpAddress): void;
  /** Hands on the advertisements that have arrived and wait, as `onDatagram` gets the others. Throws NetError. */
  readQueued(): void;
  /** Forgets them; returns how many there were. Throws NetError. */
  discardQueued(): number;
  /** What the kernel has dropped since the sockets were opened; see VrrpSocket. */
  unread(): { readonly expected: number; readonly unexpected: number };
  /** Tells neighbors that `vip` is at this link's hardware address; false where it has none. Throws NetError. */
  announce(vip: IpAddress): boolean;
  /** Asks `peer` for its hardware address, which tells it that of this link, if there is one. Throws NetError. */
  ask(peer: IpAddress): void;
  /** Watches whether another host claims `vip`; null where the link has no hardware address. Throws NetError. */
  watchClaims(vip: IpAddress, handlers: ClaimHandlers): { close(): void } | null;
  /** The link has another name or another hardware address. Throws NetError. */
  adopt(link: RouterLink): void;
  close(): void;
}

/** Main thread only. Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone. */
export const openRouterSockets: OpenRouterSockets = (options) => new LinkSockets(options);

class LinkSockets implements RouterSockets {
  readonly #onDatagram: (datagram: VrrpDatagram) => void;
  readonly #vrrp: VrrpSocket;
  #link: RouterLink;
  #announcer: PacketSocket | null;

  constructor(options: RouterSocketsOptions) {
    this.#onDatagram = options.onDatagram;
    this.#link = options.link;
    this.#vrrp = openVrrpSocket({ ...options, source: options.link.source });
    try {
      this.#announcer = openAnnouncer(options.link);
    } catch (error) {
      this.#vrrp.close();
      throw error;
    }
  }

  send(message: Uint8Array, destination: IpAddress): void {
    this.#vrrp.send(message, destination);
  }

  readQueued(): void {
    this.#vrrp.readQueued(this.#onDatagram, MAX_QUEUED);
  }

  discardQueued(): number {
    return this.#vrrp.discard(MAX_QUEUED);
  }

  unread(): { readonly expected: number; readonly unexpected: number } {
    return this.#vrrp.unread();
  }

  announce(vip: IpAddress): boolean {
    if (this.#announcer === null) return false;
    if (vip.family === 'IPv4') this.#announcer.sendGratuitousArp(vip);
    else this.#announcer.sendUnsolicitedNa(vip, true);
    return true;
  }

  ask(peer: IpAddress): void {
    this.#announcer?.ask(this.#link.source, peer);
  }

  watchClaims(vip: IpAddress, handlers: ClaimHandlers): { close(): void } | null {
    const { index, mac } = this.#link;
    return mac === null ? null : new ClaimWatch({ index, mac }, vip, handlers);
  }

  adopt(link: RouterLink): void {
    const announcer = openAnnouncer(link);
    this.#announcer?.close();
    this.#announcer = announcer;
    this.#link = link;
  }

  close(): void {
    this.#vrrp.close();
    this.#announcer?.close();
  }
}

function openAnnouncer({ index, mac }: RouterLink): PacketSocket | null {
  return mac === null ? null : openPacketSocket({ index, mac });
}
