/**
 * The raw IP sockets of the election (raw(7), protocol 112), two per virtual router. Main thread only. One is for what
 * its advertisements look like and is read to the end; the other is for all else that comes to VRRP's group, which is
 * read to be counted and named in the log, at a bounded rate. So a flood costs no advertisement its place in the queue,
 * and not more than that rate of the processor.
 *
 * Both IP headers are written here, so source and TTL are ours for multicast and unicast alike; an IPv6 raw socket
 * takes neither from IPV6_PKTINFO (the kernel keeps that option's address without using it).
 */
import { type Family, type IpAddress, ipFromOctets, parseIp } from '../../ip/address.ts';
import { VRRP_GROUP } from '../group.ts';
import type { SocketFilter } from '../../net/bpf.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { IP_LAYOUT, PROTOCOL_VRRP, readIpv4Header } from '../../wire/ip.ts';
import { hasOctetsAt } from '../../wire/octets.ts';
import { writeVrrpIpHeader } from '../ip-header.ts';
import {
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_HDRINCL,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IP_HDRINCL,
  IP_MULTICAST_ALL,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
} from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';
import { RawIpSocket, type RawPacket } from './raw-ip-socket.ts';
import { advertisementFilters, type ExpectedAdvertisements, OFF_LINK_BYTES } from './vrrp-filters.ts';

export type VrrpDatagram = {
  /** The VRRP message. A view, good only until the callback returns. */
  readonly payload: Uint8Array;
  readonly source: IpAddress;
  /** VRRP_GROUP or this host; with IPv6 always the one of both that the socket was opened for. */
  readonly destination: IpAddress;
  /** 0-255. With IPv6 the kernel tells 255 from the rest, which is 0 here and has no payload to speak of. */
  readonly ttl: number;
};

export type VrrpSocketOptions = {
  readonly family: Family;
  readonly link: { readonly index: number; readonly name: string };
  /** The source of what is sent. What comes from it is our own, or pretends to be. */
  readonly source: IpAddress;
  /**
   * Whether to hear VRRP_GROUP, in which the interface has to be a member (group-membership.ts); without, only what is
   * sent to this host itself arrives. With, IPv6 hears the group only, as such a socket cannot tell destinations apart;
   * IPv4 hears this host's own address too.
   */
  readonly multicast: boolean;
  /** What the advertisements of this virtual router look like. Nothing is rejected by it, only put last. */
  readonly expected: ExpectedAdvertisements;
  readonly onDatagram: (datagram: VrrpDatagram) => void;
  /** Reading failed (NetError). The socket may be closed and opened again. */
  readonly onError: (error: Error) => void;
};

export interface VrrpSocket {
  /**
   * Hands the message to the kernel before it returns. Throws NetError: ENETUNREACH or ENETDOWN when the link is
   * down, ENODEV or ENXIO when it is gone, EPERM when a packet filter of this host forbids it.
   */
  send(payload: Uint8Array, destination: IpAddress): void;
  /**
   * Reads what is queued of what is expected, `maxDatagrams` at most, without waiting; returns how many were read. To
   * be called before believing that nothing has arrived. Throws NetError.
   */
  readQueued(onDatagram: (datagram: VrrpDatagram) => void, maxDatagrams: number): number;
  /** Forgets what `readQueued` would read; returns how many that were. Throws NetError. */
  discard(maxDatagrams: number): number;
  /** What the kernel has dropped since the socket was opened, as it came faster than it was read. Modulo 2^32. */
  unread(): { readonly expected: number; readonly unexpected: number };
  close(): void;
}

/** The largest advertisement, 255 IPv6 addresses, is 4088 octets. */
const PACKET_BYTES = 8192;
/**
 * What a flood in the name of peers fills while the thread waits for a processor: at 768 octets of kernel memory a
 * packet, 100 ms of 50,000 packets a second. What does not fit is dropped, and the Active's advertisements with it.
 */
const EXPECTED_BUFFER_BYTES = 4 << 20;
/** The kernel doubles what it is told (socket(7)), and charges at least so much for a packet. */
const PACKET_MIN_CHARGE_BYTES = 512;
/** What can be queued of what is expected, at most: for `readQueued` and `discard`, to read all of it. */
export const MAX_QUEUED = (2 * EXPECTED_BUFFER_BYTES) / PACKET_MIN_CHARGE_BYTES;
/** Some 170 packets, or twice as many where the kernel doubles it. */
const UNEXPECTED_BUFFER_BYTES = 128 << 10;
/** Of what is not expected: 5,000 packets a second, which cost some 5 % of a processor. */
const UNEXPECTED_PER_PERIOD = 250;
const PERIOD_MS = 50;
/** Peers are few; forged sources are many. */
const CACHED_ADDRESSES = 64;

/**
 * Opens the sockets and begins to deliver. Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone.
 */
export function openVrrpSocket(options: VrrpSocketOptions): VrrpSocket {
  return new VrrpSocketPair(options);
}

class VrrpSocketPair implements VrrpSocket {
  readonly #options: VrrpSocketOptions;
  readonly #expected: RawIpSocket;
  readonly #unexpected: RawIpSocket;
  readonly #outgoing = Buffer.alloc(PACKET_BYTES);
  readonly #addresses = new AddressCache();
  #periodStartMs = 0;
  #readInPeriod = 0;
  #resumption: NodeJS.Timeout | null = null;

  constructor(options: VrrpSocketOptions) {
    this.#options = options;
    const filters = advertisementFilters(listenedTo(options), options.source, options.expected);
    const onExpected = (): void => this.#receiveOne(this.#expected);
    this.#expected = this.#open(filters.expected, EXPECTED_BUFFER_BYTES, onExpected);
    try {
      const onUnexpected = (): void => this.#receiveUnexpected();
      this.#unexpected = this.#open(filters.unexpected, UNEXPECTED_BUFFER_BYTES, onUnexpected);
    } catch (error) {
      this.#expected.close();
      throw error;
    }
    try {
      prepareToSend(this.#expected, options);
      listen(this.#expected, options);
      listen(this.#unexpected, options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  send(payload: Uint8Array, destination: IpAddress): void {
    const { family, source } = this.#options;
    const { headerBytes } = IP_LAYOUT[family];
    if (headerBytes + payload.length > PACKET_BYTES) {
      const text = `cannot send VRRP: ${payload.length} octets are more than a VRRP message can have`;
      throw new NetError('EMSGSIZE', text);
    }
    writeVrrpIpHeader(this.#outgoing, source, destination, payload.length);
    this.#outgoing.set(payload, headerBytes);
    this.#expected.send(this.#outgoing, headerBytes + payload.length, destination);
  }

  readQueued(onDatagram: (datagram: VrrpDatagram) => void, maxDatagrams: number): number {
    return readAll(this.#expected, maxDatagrams, (packet) => this.#deliver(packet, onDatagram));
  }

  discard(maxDatagrams: number): number {
    return readAll(this.#expected, maxDatagrams, () => {});
  }

  unread(): { readonly expected: number; readonly unexpected: number } {
    return { expected: this.#expected.dropped, unexpected: this.#unexpected.dropped };
  }

  close(): void {
    if (this.#resumption !== null) clearTimeout(this.#resumption);
    this.#expected.close();
    this.#unexpected.close();
  }

  #open(filter: SocketFilter, receiveBufferBytes: number, onReadable: () => void): RawIpSocket {
    const { family, link, onError } = this.#options;
    return new RawIpSocket({
      protocol: PROTOCOL_VRRP,
      protocolName: 'VRRP',
      family,
      linkName: link.name,
      filter,
      receiveBufferBytes,
      packetBytes: PACKET_BYTES,
      onReadable,
      onError: (error) => {
        this.close();
        onError(error);
      },
    });
  }

  /** One for each turn of the event loop, which comes back at once while more is queued: timers are never held up. */
  #receiveOne(socket: RawIpSocket): void {
    let packet: RawPacket | null;
    try {
      packet = socket.receive();
    } catch (error) {
      this.#options.onError(error as NetError);
      return;
    }
    if (packet !== null) this.#deliver(packet, this.#options.onDatagram);
  }

  #receiveUnexpected(): void {
    const nowMs = monotonicMs();
    if (nowMs - this.#periodStartMs >= PERIOD_MS) {
      this.#periodStartMs = nowMs;
      this.#readInPeriod = 0;
    }
    this.#readInPeriod += 1;
    if (this.#readInPeriod >= UNEXPECTED_PER_PERIOD) this.#pauseUnexpected(nowMs);
    this.#receiveOne(this.#unexpected);
  }

  /**
   * Until the period is over. What comes then and does not fit into the buffer is dropped by the kernel, for little.
   */
  #pauseUnexpected(nowMs: number): void {
    this.#unexpected.pause(true);
    this.#resumption = setTimeout(
      () => this.#unexpected.pause(false),
      this.#periodStartMs + PERIOD_MS - nowMs,
    );
    this.#resumption.unref();
  }

  #deliver({ octets, sourceText }: RawPacket, onDatagram: (datagram: VrrpDatagram) => void): void {
    const source = this.#addresses.fromText(sourceText);
    if (source === null) return;
    if (this.#options.family === 'IPv6') {
      // A true message of one octet is too short to be one, and may as well be taken for that.
      const ttl = octets.length > OFF_LINK_BYTES ? 255 : 0;
      onDatagram({ payload: octets, source, destination: listenedTo(this.#options), ttl });
      return;
    }
    const header = readIpv4Header(octets);
    if (header === null) return;
    const payload = octets.subarray(header.payloadStart, header.payloadEnd);
    onDatagram({ payload, source, destination: this.#ipv4Destination(octets), ttl: header.ttl });
  }

  #ipv4Destination(packet: Uint8Array): IpAddress {
    const { destinationAt, addressBytes } = IP_LAYOUT.IPv4;
    for (const usual of [VRRP_GROUP.IPv4, this.#options.source]) {
      if (hasOctetsAt(packet, destinationAt, usual.octets)) return usual;
    }
    return ipFromOctets(packet.subarray(destinationAt, destinationAt + addressBytes));
  }
}

function readAll(socket: RawIpSocket, maxPackets: number, onPacket: (packet: RawPacket) => void): number {
  for (let count = 0; count < maxPackets; count += 1) {
    const packet = socket.receive();
    if (packet === null) return count;
    onPacket(packet);
  }
  return maxPackets;
}

/** Addresses by the text that recvfrom(2) gives, so that an advertisement of a known peer makes no new ones. */
class AddressCache {
  readonly #byText = new Map<string, IpAddress>();

  fromText(text: string): IpAddress | null {
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const address = parseIp(text);
    if (address === null) return null;
    if (this.#byText.size >= CACHED_ADDRESSES) this.#byText.clear();
    this.#byText.set(text, address);
    return address;
  }
}

function prepareToSend(socket: RawIpSocket, { family, link }: VrrpSocketOptions): void {
  if (family === 'IPv4') {
    socket.set(IPPROTO_IP, IP_HDRINCL, 1, 'write IPv4 headers');
    socket.set(IPPROTO_IP, IP_MULTICAST_LOOP, 0, 'turn multicast loopback off');
    socket.set(IPPROTO_IP, IP_MULTICAST_IF, outgoingInterface(link.index), 'send multicast');
    return;
  }
  socket.set(IPPROTO_IPV6, IPV6_HDRINCL, 1, 'write IPv6 headers');
  socket.set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, 'turn multicast loopback off');
  socket.set(IPPROTO_IPV6, IPV6_MULTICAST_IF, link.index, 'send multicast');
}

/**
 * Without a membership of its own, a socket hears the groups that others have joined on its interface, unless it
 * refuses them. An IPv6 socket's filter tells destinations apart.
 */
function listen(socket: RawIpSocket, { family, multicast }: VrrpSocketOptions): void {
  if (family === 'IPv4' && !multicast) {
    socket.set(IPPROTO_IP, IP_MULTICAST_ALL, 0, 'refuse the groups of other processes');
  }
}

/** The one destination of what an IPv6 socket hears. */
function listenedTo({ family, multicast, source }: VrrpSocketOptions): IpAddress {
  return multicast ? VRRP_GROUP[family] : source;
}

/** struct ip_mreqn: no group, no address, interface index. */
function outgoingInterface(linkIndex: number): Buffer {
  const request = Buffer.alloc(12);
  request.writeInt32LE(linkIndex, 8);
  return request;
}
