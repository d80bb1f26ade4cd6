/**
 * A raw IP socket (raw(7)) on one link, through raw-socket. Main thread only: raw-socket is not context-aware and fails
 * to load in a worker. Every call is the system call itself, never raw-socket's queue: after a stall a queue would
 * replay what is long out of date.
 */
import raw from 'raw-socket';

import type { Family, IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { NOTHING, type SocketFilter, withFilterProgram } from '../../net/bpf.ts';
import { errnoCodeOfText } from '../../net/libc.ts';
import {
  SK_MEMINFO_DROPS,
  SOL_SOCKET,
  SO_ATTACH_FILTER,
  SO_BINDTODEVICE,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
} from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';

export type RawIpSocketOptions = {
  /** An IP protocol number (0-255), and its name for messages. */
  readonly protocol: number;
  readonly protocolName: string;
  readonly family: Family;
  readonly linkName: string;
  /** Only what passes it is queued. */
  readonly filter: SocketFilter;
  readonly receiveBufferBytes: number;
  /** The longest packet that can be received whole. */
  readonly packetBytes: number;
  /** Something is queued: to be followed by `receive`. Comes back at the next turn of the event loop while more is. */
  readonly onReadable: () => void;
  /** The socket failed (NetError), and is closed. */
  readonly onError: (error: NetError) => void;
};

export type RawPacket = {
  /** From the IP header on (IPv4), or from what follows the IPv6 header. A view, good only until the next `receive`. */
  readonly octets: Uint8Array;
  readonly sourceText: string;
};

type RawSocket = ReturnType<typeof raw.createSocket>;

/** Nothing else refers to a socket that only listens, and raw-socket closes what is garbage-collected. */
const openSockets = new Set<RawIpSocket>();

export class RawIpSocket {
  readonly #options: RawIpSocketOptions;
  readonly #socket: RawSocket;
  readonly #incoming: Buffer;
  readonly #memory = Buffer.alloc((SK_MEMINFO_DROPS + 1) * 4);
  #received: RawPacket | null = null;
  #dropped = 0;
  #closed = false;

  /** Throws NetError: EPERM without CAP_NET_RAW, ENODEV when the link is gone. */
  constructor(options: RawIpSocketOptions) {
    this.#options = options;
    this.#incoming = Buffer.alloc(options.packetBytes);
    this.#socket = createRawSocket(options);
    try {
      // The kernel queues packets of all links from the first moment on: nothing more, and then what is there is
      // dropped.
      this.#attach(NOTHING);
      this.set(
        SOL_SOCKET,
        SO_BINDTODEVICE,
        Buffer.from(`${options.linkName}\0`),
        `open a ${options.protocolName} socket`,
      );
      this.#setReceiveBuffer(options.receiveBufferBytes);
      while (this.receive() !== null);
      this.#attach(options.filter);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    openSockets.add(this);
    // In place of raw-socket's own reader, which makes a buffer and a closure for each packet.
    this.#socket.wrap.removeAllListeners('recvReady');
    this.#socket.wrap.on('recvReady', () => {
      if (!this.#closed) options.onReadable();
    });
    this.#socket.on('error', (error) => {
      this.close();
      options.onError(this.#error(`the ${options.protocolName} socket failed`, error));
    });
  }

  /** setsockopt(2); `what` is what cannot be done without it. Throws NetError. */
  set(level: number, option: number, value: number | Buffer, what: string): void {
    try {
      if (typeof value === 'number') this.#socket.setOption(level, option, value);
      else this.#socket.setOption(level, option, value, value.length);
    } catch (error) {
      throw this.#error(`cannot ${what}`, error);
    }
  }

  /** The next packet of the queue; null when there is none. Throws NetError. */
  receive(): RawPacket | null {
    if (this.#closed) return null;
    try {
      this.#socket.wrap.recv(this.#incoming, this.#keepReceived);
      return this.#received;
    } catch (error) {
      const failure = this.#error(`cannot receive ${this.#options.protocolName}`, error);
      if (failure.code === 'EAGAIN') return null;
      throw failure;
    }
  }

  /** Hands the packet's first `bytes` octets to the kernel before it returns. Throws NetError. */
  send(packet: Buffer, bytes: number, destination: IpAddress): void {
    const what = `cannot send ${this.#options.protocolName} to ${destination.text}`;
    if (this.#closed) throw new NetError('EBADF', `${what}: the socket is closed`);
    try {
      this.#socket.wrap.send(packet, 0, bytes, destination.text, ignoreBytes);
    } catch (error) {
      throw this.#error(what, error);
    }
  }

  /** While true, `onReadable` is not called, and what does not fit into the receive buffer is dropped. */
  pause(paused: boolean): void {
    if (!this.#closed) this.#socket.wrap.pause(paused, true);
  }

  /** How many packets the full receive buffer has cost, modulo 2^32, until now or until the socket was closed. */
  get dropped(): number {
    if (!this.#closed) {
      this.#socket.wrap.getOption(SOL_SOCKET, SO_MEMINFO, this.#memory, this.#memory.length);
      this.#dropped = this.#memory.readUInt32LE(SK_MEMINFO_DROPS * 4);
    }
    return this.#dropped;
  }

  close(): void {
    if (this.#closed) return;
    this.#dropped = this.dropped;
    this.#closed = true;
    openSockets.delete(this);
    this.#socket.close();
  }

  readonly #keepReceived = (_: Buffer, bytes: number, sourceText: string): void => {
    this.#received = { octets: this.#incoming.subarray(0, bytes), sourceText };
  };

  #attach(filter: SocketFilter): void {
    withFilterProgram(filter, (program) =>
      this.set(SOL_SOCKET, SO_ATTACH_FILTER, program, `filter ${this.#options.protocolName}`),
    );
  }

  #setReceiveBuffer(bytes: number): void {
    try {
      this.#socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, bytes);
    } catch {
      // `check` may have no such capability, and in a user namespace it does not count: as much as anybody may have.
      this.set(SOL_SOCKET, SO_RCVBUF, bytes, 'bound the receive buffer');
    }
  }

  #error(what: string, error: unknown): NetError {
    return rawSocketError(`${what} on ${this.#options.linkName}`, error);
  }
}

function createRawSocket({ protocol, family }: RawIpSocketOptions): RawSocket {
  try {
    // bufferSize is for raw-socket's own reading, which is not used.
    return raw.createSocket({ protocol, addressFamily: raw.AddressFamily[family], bufferSize: 1 });
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

/** raw-socket keeps of an error only strerror's text. */
function rawSocketError(what: string, error: unknown): NetError {
  const text = errorText(error);
  return new NetError(errnoCodeOfText(text), `${what}: ${text}`, { cause: error });
}

function ignoreBytes(): void {}
