/** An AF_PACKET socket on one link: whole Ethernet frames in and out, without ever blocking (packet(7)). */
import { EAGAIN, errno } from './errno.ts';
import { lastError, libc } from './libc.ts';
import { NetError } from './net-error.ts';
import { SO_ATTACH_FILTER, SOL_SOCKET, type SocketFilter, withFilterProgram } from './bpf.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
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
    // Protocol 0 receives nothing, so there is no moment at which frames of other links come in.
    this.#fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (this.#fd === -1) throw openError();
    try {
      if (reception?.filter !== undefined) this.#attach(reception.filter);
      this.#bind(reception?.etherType ?? 0);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Puts a frame on the link at once. Throws NetError: ENETDOWN when the link is down, ENXIO when it is gone. */
  send(frame: Uint8Array): void {
    this.#assertOpen();
    if (libc.send(this.#fd, frame, frame.length, 0) === -1) {
      throw lastError(`cannot send a frame on link ${this.#linkIndex}`);
    }
  }

  /** Reads one waiting frame into `into` and returns how many octets it is; null when none waits. Throws NetError. */
  receive(into: Uint8Array): number | null {
    this.#assertOpen();
    const bytes = libc.recv(this.#fd, into, into.length, 0);
    if (bytes !== -1) return bytes;
    // Makes no error object, which a thread that polls would drown in.
    if (errno() === EAGAIN) return null;
    throw lastError(`cannot receive a frame on link ${this.#linkIndex}`);
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

  #attach(filter: SocketFilter): void {
    withFilterProgram(filter, (program) => {
      if (libc.setsockopt(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length) === -1) {
        throw lastError(`cannot attach a filter to the frame socket on link ${this.#linkIndex}`);
      }
    });
  }

  #bind(etherType: number): void {
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(etherType, 2);
    address.writeInt32LE(this.#linkIndex, 4);
    if (libc.bind(this.#fd, address, address.length) === -1) {
      throw lastError(`cannot bind a frame socket to link ${this.#linkIndex}`);
    }
  }
}

function openError(): NetError {
  const error = lastError('cannot open a packet socket');
  if (!PERMISSION_ERRORS.has(error.code)) return error;
  return new NetError(
    error.code,
    'opening a packet socket needs CAP_NET_RAW: run as root, or add NET_RAW to the capabilities',
  );
}
