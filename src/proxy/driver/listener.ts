/** The port that clients connect to, on all addresses of the host. */
import { openSync, closeSync } from 'node:fs';
import { EPOLLIN } from './epoll.ts';
import { errnoCode, libc } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  ECONNABORTED,
  ECONNRESET,
  EHOSTDOWN,
  EHOSTUNREACH,
  EINTR,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPERM,
  EPROTO,
  ETIMEDOUT,
} from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';
import type { Deadline, EventLoop, Watcher } from './event-loop.ts';
import {
  acceptClient,
  closeWithReset,
  type ConnectionOptions,
  isListening,
  localAddress,
  openListener,
} from './tcp-socket.ts';

/** Clients that connect at the same moment, as all do after a takeover; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;
/** So many are accepted in a row, and then those who are connected have their turn. */
const ACCEPTS_PER_TURN = 64;
/** Between attempts to accept when there are no descriptors or no memory left, not even to turn clients away. */
const PAUSE_MS = 100;
/** Failures of accept(2) that say something of one client: it has gone, or a packet filter forbids it. */
const CLIENT_IS_GONE: ReadonlySet<number> = new Set([
  EPERM,
  EINTR,
  ENONET,
  EPROTO,
  ENOPROTOOPT,
  EOPNOTSUPP,
  ENETDOWN,
  ENETUNREACH,
  ECONNABORTED,
  ECONNRESET,
  ETIMEDOUT,
  EHOSTDOWN,
  EHOSTUNREACH,
]);
/** Listening failed for want of IPv6 in this kernel or namespace. */
const NO_IPV6: ReadonlySet<string> = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL']);

/** Why the proxy cannot listen, as one sentence for the operator; `code` is an errno name or EPROXYLOOP. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export type ListenerOptions = ConnectionOptions & {
  readonly port: number;
  readonly reusePort: boolean;
  /** A client has come; `acceptedClient` tells who. The descriptor is the callee's. */
  readonly onClient: (fd: number) => void;
  /** How long the next client has to wait to be accepted (ms); 0: not at all. */
  readonly waitMs: () => number;
  /** accept(2) failed; `code` is an errno name. */
  readonly onError: (code: string) => void;
  /** The listener has been closed from outside, and no client can connect any longer. Called once. */
  readonly onLost: (code: string) => void;
};

export class Listener implements Watcher {
  readonly port: number;
  readonly #loop: EventLoop;
  readonly #options: ListenerOptions;
  readonly #fd: number;
  /** Given up for a moment when there are no more, so that clients are turned away rather than left waiting. */
  #spareFd: number;
  readonly #resume: Deadline;
  #isOpen = true;

  /** Throws a ListenError. */
  constructor(loop: EventLoop, options: ListenerOptions) {
    this.#loop = loop;
    this.#options = options;
    this.#fd = listen(options);
    this.port = localAddress(this.#fd).port;
    this.#spareFd = openSpare();
    this.#resume = loop.deadline(() => this.#watch());
    this.#watch();
  }

  #watch(): void {
    if (!this.#isOpen) return;
    if (this.#spareFd < 0) this.#spareFd = openSpare();
    // Level-triggered: whoever is left waiting after a turn is told of again.
    if (!this.#loop.watch(this.#fd, EPOLLIN, this)) this.#resume.atMs = this.#loop.nowMs + PAUSE_MS;
  }

  ready(): void {
    this.#accept(ACCEPTS_PER_TURN, true);
  }

  /** Takes in those who wait already, however fast they have come: they are connected, and would be forgotten. */
  acceptWaiting(): void {
    if (this.#isOpen) this.#accept(BACKLOG, false);
  }

  /** Takes in those who wait already, whom closing would reset, and then no more. */
  close(): void {
    if (!this.#isOpen) return;
    this.acceptWaiting();
    this.#close();
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#loop.unwatch(this.#fd);
    libc.close(this.#fd);
    if (this.#spareFd >= 0) closeSync(this.#spareFd);
  }

  #accept(most: number, mayHaveToWait: boolean): void {
    for (let count = 0; count < most; count += 1) {
      if (!this.#isOpen) return;
      const waitMs = mayHaveToWait ? this.#options.waitMs() : 0;
      if (waitMs > 0) {
        this.#pause(waitMs);
        return;
      }
      const fd = acceptClient(this.#fd);
      if (fd >= 0) {
        this.#options.onClient(fd);
        continue;
      }
      if (fd === -EAGAIN || !this.#goesOnAfter(-fd)) return;
    }
  }

  /** Whether to accept the next client at once after this failure, an errno. */
  #goesOnAfter(error: number): boolean {
    this.#options.onError(errnoCode(error));
    if (!isListening(this.#fd)) {
      this.#close();
      this.#options.onLost(errnoCode(error));
      return false;
    }
    if (CLIENT_IS_GONE.has(error)) return true;
    const hasNoFiles = error === EMFILE || error === ENFILE;
    if (hasNoFiles && this.#turnAway()) return true;
    this.#pause(PAUSE_MS);
    return false;
  }

  /** Clients wait in the kernel's queue. Being told of them meanwhile would take a whole core. */
  #pause(pauseMs: number): void {
    if (!this.#isOpen || this.#resume.atMs !== Number.POSITIVE_INFINITY) return;
    this.#loop.unwatch(this.#fd, true);
    this.#resume.atMs = this.#loop.nowMs + pauseMs;
  }

  /** Without a free descriptor a client would wait, and wake this thread for ever. */
  #turnAway(): boolean {
    if (this.#spareFd < 0) return false;
    closeSync(this.#spareFd);
    const fd = acceptClient(this.#fd);
    if (fd >= 0) closeWithReset(fd);
    this.#spareFd = openSpare();
    return fd >= 0;
  }
}

function openSpare(): number {
  try {
    return openSync('/dev/null', 'r');
  } catch {
    return -1;
  }
}

function listen({ port, reusePort, keepAliveIdleMs, userTimeoutMs }: ListenerOptions): number {
  const options = { port, reusePort, keepAliveIdleMs, userTimeoutMs, backlog: BACKLOG };
  try {
    return openListener(AF_INET6, options);
  } catch (error) {
    if (!(error instanceof NetError) || !NO_IPV6.has(error.code)) throw listenError(error, port);
  }
  try {
    return openListener(AF_INET, options);
  } catch (error) {
    throw listenError(error, port);
  }
}

function listenError(error: unknown, port: number): ListenError {
  const code = error instanceof NetError ? error.code : 'EUNKNOWN';
  if (code === 'EADDRINUSE') {
    return new ListenError(
      code,
      `port ${port} is in use: stop what uses it ('ss -tanp sport = :${port}' shows it) or choose another proxy.port`,
    );
  }
  if (code === 'EACCES') {
    return new ListenError(
      code,
      `not permitted to listen on port ${port}: choose a proxy.port of 1024 or more, or grant CAP_NET_BIND_SERVICE`,
    );
  }
  return new ListenError(code, error instanceof Error ? error.message : `cannot listen on port ${port}`);
}
