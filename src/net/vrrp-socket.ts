/**
 * The raw IP socket of the election (raw(7), protocol 112), one per family. Main thread only: raw-socket is not
 * context-aware and fails to load in a worker.
 *
 * Sending is the system call itself, never raw-socket's queue: after a stall a queue would replay advertisements.
 * Both IP headers are written here, so source and TTL are ours for multicast and unicast alike; an IPv6 raw socket
 * takes neither from IPV6_PKTINFO (the kernel keeps that option's address without using it).
 */
import raw from 'raw-socket';

import { type Family, type IpAddress, ipFromOctets, parseIp } from '../ip/address.ts';
import { errorText } from '../log/error-text.ts';
import { SO_ATTACH_FILTER, SOL_SOCKET, withFilterProgram } from './bpf.ts';
import {
  hasOctetsAt,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  readIpv4Header,
  writeVrrpIpv4Header,
  writeVrrpIpv6Header,
} from './frames.ts';
import { errnoCodeOfText } from './libc.ts';
import { NetError } from './net-error.ts';
import { hopLimit255To, OFF_LINK_BYTES } from './vrrp-filters.ts';

/** RFC 9568 5.1.1.2, 5.1.2.2 */
export const VRRP_GROUP: Record<Family, IpAddress> = {
  IPv4: ipFromOctets(Uint8Array.of(224, 0, 0, 18)),
  IPv6: ipFromOctets(Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12)),
};

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
  /** The source of what is sent. What comes from it is our own, or pretends to be, and is not delivered. */
  readonly source: IpAddress;
  /**
   * Whether to join VRRP_GROUP; without, only what is sent to this host itself arrives. With, IPv6 hears the group
   * only, as such a socket cannot tell destinations apart; IPv4 hears this host's own address too.
   */
  readonly multicast: boolean;
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
   * Reads what is queued, `maxDatagrams` at most, without waiting; returns how many were read. To be called before
   * believing that nothing has arrived. Throws NetError.
   */
  drain(onDatagram: ((datagram: VrrpDatagram) => void) | 'discard', maxDatagrams: number): number;
  close(): void;
}

const VRRP_PROTOCOL = 112;
/** The largest advertisement, 255 IPv6 addresses, is 4088 octets. */
const PACKET_BYTES = 8192;
/**
 * What a flooded segment fills while the thread waits for a processor: at 768 octets of kernel memory a packet, 100 ms of
 * 50,000 packets a second. What does not fit is dropped, and the Active's advertisements with it.
 */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** Peers are few; forged sources are many. */
const CACHED_ADDRESSES = 64;

const SO_RCVBUF = 8;
const SO_BINDTODEVICE = 25;
/** Beyond net.core.rmem_max, with CAP_NET_ADMIN (socket(7)). */
const SO_RCVBUFFORCE = 33;

const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_LOOP = 34;
const IP_ADD_MEMBERSHIP = 35;
const IP_MULTICAST_ALL = 49;

const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_HDRINCL = 36;

/** Nothing else refers to a socket that only listens, and raw-socket closes what is garbage-collected. */
const openSockets = new Set<RawVrrpSocket>();

/** Opens the socket and begins to deliver. Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone. */
export function openVrrpSocket(options: VrrpSocketOptions): VrrpSocket {
  const socket = new RawVrrpSocket(options);
  openSockets.add(socket);
  return socket;
}

type RawSocket = ReturnType<typeof raw.createSocket>;

class RawVrrpSocket implements VrrpSocket {
  readonly #options: VrrpSocketOptions;
  readonly #socket: RawSocket;
  readonly #outgoing = Buffer.alloc(PACKET_BYTES);
  readonly #incoming = Buffer.alloc(PACKET_BYTES);
  readonly #addresses = new AddressCache();
  #incomingBytes = 0;
  #incomingSource = '';
  #closed = false;

  constructor(options: VrrpSocketOptions) {
    this.#options = options;
    this.#socket = createRawSocket(options.family);
    try {
      setOptions(this.#socket, options);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    // In place of raw-socket's own reader, which makes a buffer and a closure for each packet.
    this.#socket.wrap.removeAllListeners('recvReady');
    this.#socket.wrap.on('recvReady', this.#receiveOne);
    this.#socket.on('error', (error) => {
      this.close();
      options.onError(this.#error('the VRRP socket failed', error));
    });
  }

  send(payload: Uint8Array, destination: IpAddress): void {
    const { family, source } = this.#options;
    const headerBytes = family === 'IPv4' ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    const what = `cannot send VRRP to ${destination.text}`;
    if (this.#closed) throw new NetError('EBADF', `${what}: the socket is closed`);
    if (headerBytes + payload.length > PACKET_BYTES) {
      throw new NetError(
        'EMSGSIZE',
        `${what}: ${payload.length} octets are more than a VRRP message can have`,
      );
    }
    const writeHeader = family === 'IPv4' ? writeVrrpIpv4Header : writeVrrpIpv6Header;
    writeHeader(this.#outgoing, source, destination, payload.length);
    this.#outgoing.set(payload, headerBytes);
    try {
      this.#socket.wrap.send(this.#outgoing, 0, headerBytes + payload.length, destination.text, ignoreBytes);
    } catch (error) {
      throw this.#error(what, error);
    }
  }

  drain(onDatagram: ((datagram: VrrpDatagram) => void) | 'discard', maxDatagrams: number): number {
    let count = 0;
    while (count < maxDatagrams && !this.#closed && this.#read()) {
      count += 1;
      if (onDatagram !== 'discard') this.#deliver(onDatagram);
    }
    return count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    openSockets.delete(this);
    this.#socket.close();
  }

  /** One for each turn of the event loop, which comes back at once while more is queued: timers are never held up. */
  readonly #receiveOne = (): void => {
    if (this.#closed) return;
    try {
      if (!this.#read()) return;
    } catch (error) {
      this.#options.onError(error as NetError);
      return;
    }
    this.#deliver(this.#options.onDatagram);
  };

  /** Takes the next datagram off the queue into #incoming; false when there is none. */
  #read(): boolean {
    try {
      this.#socket.wrap.recv(this.#incoming, this.#keepReceived);
      return true;
    } catch (error) {
      const failure = this.#error('cannot receive VRRP', error);
      if (failure.code === 'EAGAIN') return false;
      throw failure;
    }
  }

  readonly #keepReceived = (_: Buffer, bytes: number, source: string): void => {
    this.#incomingBytes = bytes;
    this.#incomingSource = source;
  };

  /** Delivers #incoming, unless it is our own. */
  #deliver(onDatagram: (datagram: VrrpDatagram) => void): void {
    const source = this.#addresses.fromText(this.#incomingSource);
    if (source === null || source.text === this.#options.source.text) return;
    const packet = this.#incoming.subarray(0, this.#incomingBytes);
    if (this.#options.family === 'IPv6') {
      // A true message of one octet is too short to be one, and may as well be taken for that.
      const ttl = packet.length > OFF_LINK_BYTES ? 255 : 0;
      onDatagram({ payload: packet, source, destination: listenedTo(this.#options), ttl });
      return;
    }
    const header = readIpv4Header(packet);
    if (header === null) return;
    const payload = packet.subarray(header.payloadStart, header.payloadEnd);
    onDatagram({ payload, source, destination: this.#ipv4Destination(packet), ttl: header.ttl });
  }

  #ipv4Destination(packet: Uint8Array): IpAddress {
    for (const usual of [VRRP_GROUP.IPv4, this.#options.source]) {
      if (hasOctetsAt(packet, 16, usual.octets)) return usual;
    }
    return ipFromOctets(packet.subarray(16, 20));
  }

  #error(what: string, error: unknown): NetError {
    return rawSocketError(`${what} on ${this.#options.link.name}`, error);
  }
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

function createRawSocket(family: Family): RawSocket {
  try {
    // bufferSize is for raw-socket's own reading, which is not used.
    return raw.createSocket({
      protocol: VRRP_PROTOCOL,
      addressFamily: raw.AddressFamily[family],
      bufferSize: 1,
    });
  } catch (error) {
    const failure = rawSocketError(`cannot open an ${family} raw socket`, error);
    if (failure.code !== 'EPERM') throw failure;
    throw new NetError(
      failure.code,
      'opening a raw socket needs CAP_NET_RAW: run as root, or add NET_RAW to the capabilities',
      { cause: error },
    );
  }
}

/** The device first, so that nothing of other links is ever queued. */
function setOptions(socket: RawSocket, options: VrrpSocketOptions): void {
  const { link, multicast } = options;
  const set = (level: number, option: number, value: number | Buffer, what: string): void => {
    try {
      if (typeof value === 'number') socket.setOption(level, option, value);
      else socket.setOption(level, option, value, value.length);
    } catch (error) {
      throw rawSocketError(`cannot ${what} on ${link.name}`, error);
    }
  };
  set(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${link.name}\0`), 'open a VRRP socket');
  try {
    socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  } catch {
    // `check` may have no such capability, and in a user namespace it does not count: as much as anybody may have.
    set(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES, 'bound the receive buffer');
  }
  if (options.family === 'IPv4') {
    set(IPPROTO_IP, IP_HDRINCL, 1, 'write IPv4 headers');
    set(IPPROTO_IP, IP_MULTICAST_ALL, 0, 'refuse the groups of other processes');
    set(IPPROTO_IP, IP_MULTICAST_LOOP, 0, 'turn multicast loopback off');
    set(IPPROTO_IP, IP_MULTICAST_IF, ipv4Membership(link.index), 'send multicast');
    if (multicast) set(IPPROTO_IP, IP_ADD_MEMBERSHIP, ipv4Membership(link.index), 'join 224.0.0.18');
    return;
  }
  withFilterProgram(hopLimit255To(listenedTo(options)), (program) =>
    set(SOL_SOCKET, SO_ATTACH_FILTER, program, 'filter by hop limit'),
  );
  set(IPPROTO_IPV6, IPV6_HDRINCL, 1, 'write IPv6 headers');
  set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, 'turn multicast loopback off');
  set(IPPROTO_IPV6, IPV6_MULTICAST_IF, link.index, 'send multicast');
  if (multicast) set(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, ipv6Membership(link.index), 'join ff02::12');
}

/** The one destination of what an IPv6 socket hears. */
function listenedTo({ family, multicast, source }: VrrpSocketOptions): IpAddress {
  return multicast ? VRRP_GROUP[family] : source;
}

/** struct ip_mreqn: group, no address, interface index. */
function ipv4Membership(linkIndex: number): Buffer {
  const membership = Buffer.alloc(12);
  membership.set(VRRP_GROUP.IPv4.octets);
  membership.writeInt32LE(linkIndex, 8);
  return membership;
}

/** struct ipv6_mreq: group, interface index. */
function ipv6Membership(linkIndex: number): Buffer {
  const membership = Buffer.alloc(20);
  membership.set(VRRP_GROUP.IPv6.octets);
  membership.writeInt32LE(linkIndex, 16);
  return membership;
}

/** raw-socket keeps of an error only strerror's text. */
function rawSocketError(what: string, error: unknown): NetError {
  const text = errorText(error);
  return new NetError(errnoCodeOfText(text), `${what}: ${text}`, { cause: error });
}

function ignoreBytes(): void {}
