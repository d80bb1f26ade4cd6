/** An AF_PACKET socket on one link: whole Ethernet frames in and out, without ever blocking (packet(7)). */
import { callError, libc, required } from './libc.ts';
import { AF_PACKET, EAGAIN, SOCK_RAW } from './linux.ts';
import { NetError } from './net-error.ts';
import { attachProgram, openSocket } from './socket.ts';
import type { SocketFilter } from './bpf.ts';

const SOCKADDR_LL_BYTES = 20;
const MAC_BYTES = 6;
const PERMISSION_ERRORS = new Set(['EPERM', 'EACCES']);

/** The link a frame socket works on; `mac` is null for a link that has no Ethernet address. */
export type EthernetLink = { readonly index: number; readonly mac: Uint8Array | null };

/** Every link of the host, for a socket that only receives (packet(7): sll_ifindex 0). */
export const EVERY_LINK: EthernetLink = { index: 0, mac: new Uint8Array(MAC_BYTES) };

/** What to receive: frames of one EtherType, less those that the filter drops. */
export type Reception = { readonly etherType: number; readonly filter?: SocketFilter };

export class LinkSocket {
  readonly mac: Uint8Array;
  readonly #fd: number;
  readonly #linkIndex: number;
  #closed = false;

  /** Opens and binds. Without `reception` nothing is ever received. Throws NetError. */
  constructor(link: EthernetLink, reception: Reception | null) {
    if (link.mac === null || link.mac.length !== MAC_BYTES) {
      throw new NetError('EAFNOSUPPORT', `link ${link.index} has no Ethernet address, so no ARP and no ND`);
    }
    this.mac = link.mac;
    this.#linkIndex = link.index;
    this.#fd = openFrameSocket((fd) => {
      const what = `cannot attach a filter to the frame socket on link ${link.index}`;
      if (reception?.filter !== undefined) attachProgram(fd, reception.filter, what);
      const address = encodeLinkAddress(link.index, reception?.etherType ?? 0);
      required(libc.bind(fd, address, address.length), `cannot bind a frame socket to link ${link.index}`);
    });
  }

  /** Puts a frame on the link at once. Throws NetError: ENETDOWN when the link is down, ENXIO when it is gone. */
  send(frame: Uint8Array): void {
    this.#assertOpen();
    const result = libc.send(this.#fd, frame, frame.length, 0);
    if (result < 0) throw callError(result, `cannot send a frame on link ${this.#linkIndex}`);
  }

  /** Reads one waiting frame into `into` and returns how many octets it is; null when none waits. Throws NetError. */
  receive(into: Uint8Array): number | null {
    this.#assertOpen();
    const bytes = libc.recv(this.#fd, into, into.length, 0);
    if (bytes >= 0) return bytes;
    // Makes no error object, which a thread that polls would drown in.
    if (bytes === -EAGAIN) return null;
    throw callError(bytes, `cannot receive a frame on link ${this.#linkIndex}`);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }

  /** A closed number may already be another file's. */
  #assertOpen(): void {
    if (this.#closed) throw new NetError('EBADF', `the frame socket on link ${this.#linkIndex} is closed`);
  }
}

/** Protocol 0 receives nothing, so there is no moment before `bind` at which frames of other links come in. */
function openFrameSocket(prepare: (fd: number) => void): number {
  try {
    return openSocket({ domain: AF_PACKET, type: SOCK_RAW }, 'cannot open a packet socket', prepare);
  } catch (error) {
    if (!(error instanceof NetError) || !PERMISSION_ERRORS.has(error.code)) throw error;
    throw new NetError(
      error.code,
      'opening a packet socket needs CAP_NET_RAW: run as root, or add NET_RAW to the capabilities',
      { cause: error },
    );
  }
}

/** struct sockaddr_ll (packet(7)). */
function encodeLinkAddress(linkIndex: number, etherType: number): Buffer {
  const address = Buffer.alloc(SOCKADDR_LL_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(etherType, 2);
  address.writeInt32LE(linkIndex, 4);
  return address;
}
