/**
 * A netlink(7) socket that only listens to multicast groups. Not the `netlink` package's: when the kernel drops
 * notifications for lack of room, that socket aborts the process (in 0.3.0, binding.cc makes a string of a null
 * pointer in PollHandler). Here it is an error like any other.
 */
import koffi from 'koffi';

import { EAGAIN, errno } from './errno.ts';
import { lastError, libc } from './libc.ts';
import { NetError } from './net-error.ts';
import { SOL_SOCKET } from './bpf.ts';

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOCKADDR_NL_BYTES = 12;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const MSG_TRUNC = 0x20;

/** A few thousand changes. */
const RECEIVE_BUFFER_BYTES = 1 << 20;
/** The kernel puts no more than 32 KiB into one datagram, but for links with hundreds of virtual functions. */
const DATAGRAM_BYTES = 256 << 10;
/** Others have their turn in between; the rest comes with the next turn of the event loop. */
const DATAGRAMS_PER_TURN = 64;

export type NotificationHandlers = {
  /** One datagram: one or more netlink messages. Good only until the callback returns. */
  readonly onDatagram: (datagram: Buffer) => void;
  /** NetError; ENOBUFS when the kernel dropped notifications. The socket goes on. */
  readonly onError: (error: NetError) => void;
};

/** Nothing else refers to a socket that only listens, and koffi ends the polling of what is garbage-collected. */
const openSockets = new Set<NotificationSocket>();

export class NotificationSocket {
  readonly #handlers: NotificationHandlers;
  readonly #fd: number;
  readonly #poll: ReturnType<typeof koffi.node.poll>;
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTES);
  #closed = false;

  /** Listens to the rtnetlink groups whose bits are set in `groups` (group 1 is bit 0). Throws NetError. */
  constructor(groups: number, handlers: NotificationHandlers) {
    this.#handlers = handlers;
    this.#fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (this.#fd === -1) throw lastError('cannot open a netlink socket');
    try {
      this.#bind(groups);
      this.#poll = koffi.node.poll(this.#fd, this.#onReady);
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
    openSockets.add(this);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    openSockets.delete(this);
    this.#poll.close();
    libc.close(this.#fd);
  }

  #bind(groups: number): void {
    const size = Buffer.alloc(4);
    size.writeInt32LE(RECEIVE_BUFFER_BYTES);
    // Beyond net.core.rmem_max with CAP_NET_ADMIN; without, as much as anybody may have.
    if (libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length) === -1) {
      libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, size, size.length);
    }
    const address = Buffer.alloc(SOCKADDR_NL_BYTES);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(groups, 8);
    if (libc.bind(this.#fd, address, address.length) === -1) throw lastError('cannot listen to rtnetlink');
  }

  /** An exception that a handler throws must not pass through koffi, which would hang the process. */
  readonly #onReady = (): void => {
    setImmediate(this.#receive);
  };

  readonly #receive = (): void => {
    for (let count = 0; count < DATAGRAMS_PER_TURN && !this.#closed; count += 1) {
      const bytes = libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_TRUNC);
      if (bytes === -1) {
        if (errno() === EAGAIN) return;
        const error = lastError('cannot receive from rtnetlink');
        // libuv stops to poll a socket that has an error; having read it, the socket has none any more.
        this.#poll.start(this.#onReady);
        this.#handlers.onError(error);
      } else if (bytes > this.#buffer.length) {
        this.#handlers.onError(new NetError('EMSGSIZE', `a notification of ${bytes} octets was cut off`));
      } else {
        this.#handlers.onDatagram(this.#buffer.subarray(0, bytes));
      }
    }
  };
}
