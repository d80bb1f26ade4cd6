/**
 * A netlink(7) socket that only listens to multicast groups. Not the `netlink` package's: when the kernel drops
 * notifications for lack of room, that socket aborts the process (in 0.3.0, binding.cc makes a string of a null
 * pointer in PollHandler). Here it is an error like any other.
 */
import { callError, type DescriptorPoll, libc, pollDescriptor, required } from './libc.ts';
import {
  AF_NETLINK,
  EAGAIN,
  MSG_TRUNC,
  NETLINK_ROUTE,
  SO_DETACH_FILTER,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  SOL_SOCKET,
} from './linux.ts';
import { NetError } from './net-error.ts';
import type { SocketFilter } from './bpf.ts';
import { attachProgram, openSocket, setOption } from './socket.ts';

const SOCKADDR_NL_BYTES = 12;

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
  /** What was queued, or DATAGRAMS_PER_TURN of it, has been handed over. */
  readonly onTurn: () => void;
};

/** Nothing else refers to a socket that only listens, and the poll of what is garbage-collected ends. */
const openSockets = new Set<NotificationSocket>();

export class NotificationSocket {
  readonly #handlers: NotificationHandlers;
  readonly #fd: number;
  readonly #poll: DescriptorPoll;
  readonly #buffer = Buffer.alloc(DATAGRAM_BYTES);
  #closed = false;
  #isFiltered = false;

  /** Listens to the rtnetlink groups whose bits are set in `groups` (group 1 is bit 0). Throws NetError. */
  constructor(groups: number, handlers: NotificationHandlers) {
    this.#handlers = handlers;
    const kind = { domain: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_ROUTE };
    this.#fd = openSocket(kind, 'cannot open a netlink socket', (fd) => listen(fd, groups));
    try {
      this.#poll = pollDescriptor(this.#fd, this.#onReady);
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
    openSockets.add(this);
  }

  /**
   * From now on only what passes the filter is queued; null: everything. What is queued already stays. Throws NetError.
   */
  filter(filter: SocketFilter | null): void {
    if (this.#closed) return;
    const what = 'cannot filter the notifications of rtnetlink';
    if (filter !== null) attachProgram(this.#fd, filter, what);
    else if (this.#isFiltered) required(setOption(this.#fd, SOL_SOCKET, SO_DETACH_FILTER, 0), what);
    this.#isFiltered = filter !== null;
  }

  /** Hands over all that is queued now, without waiting for the event loop. */
  readQueued(): void {
    while (this.#readTurn() === DATAGRAMS_PER_TURN);
    this.#handlers.onTurn();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    openSockets.delete(this);
    this.#poll.close();
    libc.close(this.#fd);
  }

  /** An exception that a handler throws must not pass through the poll, which would hang the process. */
  readonly #onReady = (): void => {
    setImmediate(this.#receive);
  };

  readonly #receive = (): void => {
    if (this.#closed) return;
    this.#readTurn();
    this.#handlers.onTurn();
  };

  /** Returns how many datagrams were handed over, DATAGRAMS_PER_TURN at most. */
  #readTurn(): number {
    for (let count = 0; count < DATAGRAMS_PER_TURN; count += 1) {
      if (this.#closed) return count;
      const bytes = libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_TRUNC);
      if (bytes === -EAGAIN) return count;
      if (bytes < 0) {
        const error = callError(bytes, 'cannot receive from rtnetlink');
        // libuv stops to poll a socket that has an error; having read it, the socket has none any more.
        this.#poll.start(this.#onReady);
        this.#handlers.onError(error);
      } else if (bytes > this.#buffer.length) {
        this.#handlers.onError(new NetError('EMSGSIZE', `a notification of ${bytes} octets was cut off`));
      } else {
        this.#handlers.onDatagram(this.#buffer.subarray(0, bytes));
      }
    }
    return DATAGRAMS_PER_TURN;
  }
}

function listen(fd: number, groups: number): void {
  // Beyond net.core.rmem_max with CAP_NET_ADMIN; without, as much as any process may have.
  if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES) < 0)
    setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  required(libc.bind(fd, address, address.length), 'cannot listen to rtnetlink');
}
