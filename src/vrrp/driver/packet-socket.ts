/** What a router says about addresses on a link: gratuitous ARP, unsolicited neighbor advertisements, questions. */
import type { IpAddress } from '../../ip/address.ts';
import {
  arpQuestion,
  gratuitousArp,
  neighborSolicitation,
  unsolicitedNeighborAdvertisement,
} from '../../wire/frames.ts';
import { type EthernetLink, LinkSocket } from '../../net/link-socket.ts';

export interface PacketSocket {
  /** Broadcasts that `address` (IPv4) is at the link's hardware address. Throws NetError. */
  sendGratuitousArp(address: IpAddress): void;
  /** Tells all nodes that `address` (IPv6) is at the link's hardware address (RFC 4861 7.2.6). Throws NetError. */
  sendUnsolicitedNa(address: IpAddress, router: boolean): void;
  /** Asks `target`, as `sender`, for its hardware address, by which it learns that of `sender`. Throws NetError. */
  ask(sender: IpAddress, target: IpAddress): void;
  close(): void;
}

/** Opens a socket that only sends. Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone. */
export function openPacketSocket(link: EthernetLink): PacketSocket {
  const socket = new LinkSocket(link, null);
  return {
    sendGratuitousArp: (address) => socket.send(gratuitousArp(socket.mac, address)),
    sendUnsolicitedNa: (address, router) =>
      socket.send(unsolicitedNeighborAdvertisement(socket.mac, address, router)),
    ask: (sender, target) =>
      socket.send(
        (target.family === 'IPv4' ? arpQuestion : neighborSolicitation)(socket.mac, sender, target),
      ),
    close: () => socket.close(),
  };
}
