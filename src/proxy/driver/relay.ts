/** One client: finds it a backend, then passes bytes, FIN and RST both ways. */
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from './epoll.ts';
import { errnoCode, libc } from '../../net/libc.ts';
import { takeSocketError } from './tcp-info.ts';
import type { ConnectionDetail } from '../connections.ts';
import { type Ending, endingOf, type Side } from '../endings.ts';
import type { EventLoop, Task, Watcher } from './event-loop.ts';
import { Flow, type FlowMemory } from './flow.ts';
import { SocketWatch } from './socket-watch.ts';
import {
  closeWithReset,
  type ConnectionOptions,
  connectsToItself,
  keepWatch,
  type SocketAddress,
  startConnecting,
} from './tcp-socket.ts';

/** What a relay knows of its client: addresses as the socket has them. */
export type ClientAddresses = {
  readonly client: string;
  readonly clientPort: number;
  readonly local: string;
};

/** What the relays of one proxy share. */
export type RelayHost = {
  readonly loop: EventLoop;
  readonly memory: FlowMemory;
  readonly options: ConnectionOptions;
  /** Bytes passed and not yet added to the counters, per backend. */
  readonly bytesToBackend: Float64Array;
  readonly bytesToClient: Float64Array;
  /** Backends that turned out to be the proxy itself; no client is sent there again. */
  readonly ownBackends: readonly number[];
  /** Index of the backend that a client gets, which counts as its connection from now on; -1: none is left. */
  choose(tried: readonly number[]): number;
  addressOf(backendIndex: number): SocketAddress;
  /** True when the backend has the port that the proxy listens on. */
  hasOwnPort(backendIndex: number): boolean;
  /** An attempt has begun; `abandonAttempt` is to be called when it takes too long. */
  attempting(relay: Relay): void;
  /** The attempt has ended, one way or another. */
  attempted(relay: Relay): void;
  connectFailed(backendIndex: number, reason: string, attemptedAtMs: number): void;
  /** The connection that `choose` counted is no more. */
  released(backendIndex: number): void;
  /** The client has its backend; `tried` is how many were tried in vain before. */
  opened(relay: Relay, backendIndex: number): void;
  /** The connection to this backend came back to the proxy; `ownBackends` must contain it from now on. */
  reachedItself(backendIndex: number): void;
  /** Nothing could be reached; the client is reset next. */
  refused(tried: number): void;
  /** Called once, last; `backendIndex` is that of the open connection, or -1. */
  closed(relay: Relay, backendIndex: number, ending: Ending): void;
};

/** Bits of `finsSent`. */
const CLIENT_FIN = 1;
const BACKEND_FIN = 2;
const ALL_EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/**
 * The client's first byte is taken when a backend has accepted, so a backend that refuses or stays silent costs the
 * client time only. Descriptors are watched edge-triggered, once for their whole life: what epoll has told of is
 * remembered in the flows until it is used up.
 */
export class Relay implements Watcher, Task {
  readonly addresses: ClientAddresses;
  readonly #host: RelayHost;
  readonly #clientFd: number;
  #upstreamFd = -1;
  #backendIndex = -1;
  #tried: readonly number[];
  /** monotonicMs. */
  readonly acceptedAtMs: number;
  /** When the present attempt began, monotonicMs. */
  attemptedAtMs = 0;
  /** What epoll told of the client before there was a backend. */
  #earlyEvents = 0;
  #toBackend: Flow | null = null;
  #toClient: Flow | null = null;
  #clientWatch: SocketWatch | null = null;
  #upstreamWatch: SocketWatch | null = null;
  #finsSent = 0;
  #upstreamIsKept = false;
  #isQueued = false;
  #isClosed = false;
  /** monotonicMs. */
  openedAtMs = 0;
  /** Of the latest bytes, or of the opening, monotonicMs. */
  activeAtMs = 0;
  /** The latest bytes were the client's. */
  awaitsAnswer = false;
  /** Its own in [0, 1): clients that came together do not go together. */
  readonly ageJitter = Math.random();

  /** `clientFd` is an accepted socket, which is the relay's from now on. */
  constructor(clientFd: number, addresses: ClientAddresses, host: RelayHost) {
    this.#clientFd = clientFd;
    this.addresses = addresses;
    this.#host = host;
    this.#tried = host.ownBackends;
    this.acceptedAtMs = host.loop.nowMs;
  }

  /** Starts connecting. Apart from the constructor because it may end in `refused` and `closed` at once. */
  start(): void {
    if (this.#host.loop.watch(this.#clientFd, ALL_EVENTS, this)) this.#connectNext();
    else this.reset('no_resources');
  }

  /** Index of the backend that this client has or tries, or -1. */
  get backendIndex(): number {
    return this.#backendIndex;
  }

  /** True while no backend has accepted yet. */
  get isConnecting(): boolean {
    return this.#toBackend === null;
  }

  /** Whose FIN has been passed on. */
  get state(): ConnectionDetail['state'] {
    if ((this.#finsSent & CLIENT_FIN) !== 0) return 'client finished';
    return (this.#finsSent & BACKEND_FIN) === 0 ? 'open' : 'backend finished';
  }

  /** True while a side does not take what the other has for it. */
  get isHeldBack(): boolean {
    return this.#toBackend?.isBlocked === true || this.#toClient?.isBlocked === true;
  }

  get bytesToBackend(): number {
    return this.#toBackend?.bytes ?? 0;
  }

  get bytesToClient(): number {
    return this.#toClient?.bytes ?? 0;
  }

  ready(fd: number, events: number): void {
    if (this.#toBackend === null || this.#toClient === null) {
      if (fd === this.#upstreamFd) this.#connected(events);
      else if ((events & EPOLLERR) !== 0) this.#failed('client', takeSocketError(fd));
      else this.#earlyEvents |= events;
      return;
    }
    const isClient = fd === this.#clientFd;
    this.#note(
      events,
      isClient ? this.#toBackend : this.#toClient,
      isClient ? this.#toClient : this.#toBackend,
    );
    this.#pump();
    // Whatever could still be read before the error is through.
    if ((events & EPOLLERR) !== 0 && !this.#isClosed) {
      this.#failed(isClient ? 'client' : 'backend', takeSocketError(fd));
    }
  }

  /** Its turn has come again. */
  run(): boolean {
    this.#isQueued = false;
    if (!this.#isClosed) this.#pump();
    return false;
  }

  /** Ends both sides with RST, whatever is in flight. */
  reset(ending: Ending): void {
    this.#end(closeWithReset, ending);
  }

  /** Ends both sides with FIN, after what their kernels hold already. What is in the flows is lost. */
  close(ending: Ending): void {
    this.#clientWatch?.leave();
    this.#upstreamWatch?.leave();
    this.#end(libc.close, ending);
  }

  /** Gives the present attempt up and tries the next backend; nothing when one has accepted already. */
  abandonAttempt(reason: string): void {
    if (!this.#isClosed && this.isConnecting && this.#upstreamFd >= 0) this.#attemptFailed(reason);
  }

  /** Tells live peers with a closed window from dead ones. To be called every few seconds. */
  check(): void {
    if (this.#isClosed) return;
    if (this.#upstreamWatch !== null && !this.#upstreamIsKept) {
      // Not when it was opened: the short-lived are over by now, and need no four system calls for it.
      this.#upstreamIsKept = true;
      keepWatch(this.#upstreamFd, this.#host.options);
    }
    this.#clientWatch?.check();
    this.#upstreamWatch?.check();
    this.#goOnIfStalled();
  }

  #goOnIfStalled(): void {
    const stalled = [this.#toBackend, this.#toClient].filter((flow) => flow?.isStalled === true);
    for (const flow of stalled) flow?.tryAgain();
    if (stalled.length > 0) this.#pump();
  }

  #connectNext(): void {
    for (;;) {
      const index = this.#host.choose(this.#tried);
      if (index < 0) {
        this.#host.refused(this.#tried.length);
        this.reset('no_backend');
        return;
      }
      this.#backendIndex = index;
      const result = startConnecting(this.#host.addressOf(index));
      this.#host.attempting(this);
      if (typeof result === 'number') {
        this.#upstreamFd = result;
        if (!this.#host.loop.watch(result, ALL_EVENTS, this)) this.reset('no_resources');
        return;
      }
      this.#attemptEnded(result.reason);
    }
  }

  #attemptFailed(reason: string): void {
    this.#closeUpstream(libc.close);
    this.#attemptEnded(reason);
    this.#connectNext();
  }

  #attemptEnded(reason: string): void {
    const index = this.#backendIndex;
    this.#backendIndex = -1;
    this.#tried = [...this.#tried, index];
    this.#host.attempted(this);
    this.#host.released(index);
    this.#host.connectFailed(index, reason, this.attemptedAtMs);
  }

  #connected(events: number): void {
    const error = (events & (EPOLLERR | EPOLLHUP)) === 0 ? 0 : takeSocketError(this.#upstreamFd);
    if (error !== 0 || (events & EPOLLOUT) === 0) {
      // A backend that has accepted and reset at once is one that cannot be used, too.
      this.#attemptFailed(error === 0 ? 'closed at once' : errnoCode(error));
      return;
    }
    const index = this.#backendIndex;
    if (this.#host.hasOwnPort(index) && connectsToItself(this.#upstreamFd)) {
      this.#host.reachedItself(index); // before the next choice, or the proxy would chase its own tail
      this.#attemptFailed('it is this proxy itself');
      return;
    }
    this.#open(index, events);
  }

  #open(index: number, events: number): void {
    const { memory, options, loop } = this.#host;
    const toBackend = new Flow(memory, this.#clientFd, this.#upstreamFd);
    const toClient = new Flow(memory, this.#upstreamFd, this.#clientFd);
    this.#toBackend = toBackend;
    this.#toClient = toClient;
    this.#clientWatch = new SocketWatch(this.#clientFd, options.userTimeoutMs);
    this.#upstreamWatch = new SocketWatch(this.#upstreamFd, options.userTimeoutMs);
    this.openedAtMs = loop.nowMs;
    this.activeAtMs = loop.nowMs;
    this.#host.attempted(this);
    this.#host.opened(this, index);
    this.#note(this.#earlyEvents, toBackend, toClient);
    this.#note(events, toClient, toBackend);
    this.#pump();
  }

  #note(events: number, from: Flow, to: Flow): void {
    const isLast = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0;
    const isUrgent = (events & EPOLLPRI) !== 0;
    if (isLast || isUrgent || (events & EPOLLIN) !== 0) from.fromReady(isLast, isUrgent);
    if ((events & EPOLLOUT) !== 0) to.toReady();
  }

  #pump(): void {
    const { bytesToBackend, bytesToClient } = this.#host;
    if (this.#toBackend === null || this.#toClient === null) return;
    const upGoesOn = this.#pumpOne(this.#toBackend, this.#upstreamWatch, bytesToBackend, CLIENT_FIN);
    if (this.#isClosed) return;
    const downGoesOn = this.#pumpOne(this.#toClient, this.#clientWatch, bytesToClient, BACKEND_FIN);
    if (this.#isClosed || this.#isQueued || (!upGoesOn && !downGoesOn)) return;
    this.#isQueued = true;
    this.#host.loop.later(this);
  }

  /** True when the flow wants another turn. `finBit` is the flow's in `finsSent`. */
  #pumpOne(flow: Flow, receiver: SocketWatch | null, passed: Float64Array, finBit: number): boolean {
    const before = flow.bytes;
    const state = flow.pump();
    const bytes = flow.bytes - before;
    if (bytes > 0) {
      passed[this.#backendIndex] = (passed[this.#backendIndex] ?? 0) + bytes;
      receiver?.wrote();
      this.activeAtMs = this.#host.loop.nowMs;
      this.awaitsAnswer = flow === this.#toBackend;
    }
    if (state === 'broken') this.#broken(flow);
    else if (state === 'ended' && (this.#finsSent & finBit) === 0) this.#passFin(flow, finBit);
    return state === 'busy';
  }

  #passFin(flow: Flow, finBit: number): void {
    this.#finsSent |= finBit;
    if (this.#finsSent === (CLIENT_FIN | BACKEND_FIN)) this.close('finished'); // which sends the second FIN
    else if (!flow.sendFin()) this.#failed(flow === this.#toBackend ? 'backend' : 'client', 0);
  }

  #broken(flow: Flow): void {
    const { isOfSender, errno } = flow.failure;
    this.#failed((flow === this.#toBackend) === isOfSender ? 'client' : 'backend', errno);
  }

  /** The connection of one side is gone; `errno` 0 where the kernel does not say why. */
  #failed(side: Side, errno: number): void {
    this.reset(endingOf(side, errno === 0 ? '' : errnoCode(errno)));
  }

  #end(close: (fd: number) => void, ending: Ending): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const backendIndex = this.#backendIndex;
    this.#backendIndex = -1;
    if (this.isConnecting) this.#host.attempted(this);
    if (backendIndex >= 0) this.#host.released(backendIndex);
    this.#toBackend?.drop();
    this.#toClient?.drop();
    // First, so that whoever sees the RST finds the counters without this client.
    this.#host.closed(this, this.isConnecting ? -1 : backendIndex, ending);
    this.#host.loop.unwatch(this.#clientFd);
    close(this.#clientFd);
    this.#closeUpstream(close);
  }

  #closeUpstream(close: (fd: number) => void): void {
    if (this.#upstreamFd < 0) return;
    this.#host.loop.unwatch(this.#upstreamFd);
    close(this.#upstreamFd);
    this.#upstreamFd = -1;
  }
}
