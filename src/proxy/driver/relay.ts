/** One client: finds it a backend, then passes bytes, FIN and RST both ways. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { ProxyCounters } from '../counters.ts';
import { chooseUpstream } from '../upstream.ts';
import type { ProxyBackend } from '../upstream.ts';
import { resetSocket, SocketWatch } from './tcp-socket.ts';

/** What the relays of one proxy share. */
export type RelayHost = {
  /** The port the proxy listens on. */
  readonly port: number;
  /** Replaced as a whole when states change; positions never change. */
  readonly backends: readonly ProxyBackend[];
  readonly counters: ProxyCounters;
  /** Bytes passed and not yet added to the counters, per backend. */
  readonly bytesToBackend: Float64Array;
  readonly bytesToClient: Float64Array;
  /** Backends that turned out to be the proxy itself; no client is sent there again. */
  readonly ownBackends: readonly number[];
  readonly connectTimeoutMs: number;
  readonly keepAliveIdleMs: number;
  readonly userTimeoutMs: number;
  /** The client has its backend; `tried` is how many were tried in vain before. */
  opened(relay: Relay, backendIndex: number, tried: number): void;
  connectFailed(backendIndex: number, reason: string): void;
  /** The connection to this backend came back to the proxy; `ownBackends` must contain it from now on. */
  reachedItself(backendIndex: number): void;
  /** Nothing could be reached; the client is reset next. */
  refused(tried: number): void;
  /** Called once, last. */
  closed(relay: Relay, backendIndex: number): void;
};

type Attempt = { readonly upstream: Socket; readonly backendIndex: number; readonly timer: NodeJS.Timeout };

/**
 * The client socket must be paused and not read from yet: its first byte is taken when a backend has accepted, so a
 * backend that refuses or stays silent costs the client time only. Memory is bounded by the high-water marks of the
 * two sockets: a side that does not take its bytes stops the other side from being read.
 */
export class Relay {
  readonly client: Socket;
  readonly #host: RelayHost;
  #tried: readonly number[];
  #attempt: Attempt | null = null;
  #upstream: Socket | null = null;
  /** Of the attempt or the open connection; -1 when there is neither. */
  #backendIndex = -1;
  #clientWatch: SocketWatch | null = null;
  #upstreamWatch: SocketWatch | null = null;
  #closed = false;

  constructor(client: Socket, host: RelayHost) {
    this.client = client;
    this.#host = host;
    this.#tried = host.ownBackends;
    client.on('error', () => this.reset());
    client.on('close', () => this.#sideClosed());
  }

  /** Starts connecting. Apart from the constructor because it may end in `refused` and `closed` at once. */
  start(): void {
    this.#connectNext();
  }

  /** Index of the backend that this client has or tries, or -1. */
  get backendIndex(): number {
    return this.#backendIndex;
  }

  /** True while no backend has accepted yet. */
  get connecting(): boolean {
    return this.#attempt !== null;
  }

  /** Ends both sides with RST, whatever is in flight. */
  reset(): void {
    if (this.#closed) return;
    this.#finish(); // first, so that whoever sees the RST finds the counters without this client
    resetSocket(this.client);
    if (this.#upstream !== null) resetSocket(this.#upstream);
  }

  /** Gives the present attempt up and tries the next backend; nothing when one has accepted already. */
  abandonAttempt(reason: string): void {
    if (this.#attempt !== null) this.#attemptFailed(this.#attempt, reason);
  }

  /** Resets both sides when one of them is gone without the event loop noticing. To be called every few seconds. */
  check(): void {
    if (this.#closed || this.#clientWatch === null) return;
    const clientAlive = this.#clientWatch.check();
    const upstreamAlive = this.#upstreamWatch === null || this.#upstreamWatch.check();
    if (!clientAlive || !upstreamAlive) this.reset();
  }

  #connectNext(): void {
    const { counters, backends, connectTimeoutMs, keepAliveIdleMs } = this.#host;
    const index = chooseUpstream(backends, (backend) => counters.connections(backend), this.#tried);
    const backend = index === null ? undefined : backends[index];
    if (index === null || backend === undefined) {
      this.#host.refused(this.#tried.length);
      this.reset();
      return;
    }
    counters.addConnections(index, 1);
    this.#backendIndex = index;
    const upstream = connect({
      host: backend.host,
      port: backend.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveIdleMs,
    });
    const timer = setTimeout(
      () => this.abandonAttempt(`no answer in ${connectTimeoutMs} ms`),
      connectTimeoutMs,
    );
    const attempt: Attempt = { upstream, backendIndex: index, timer };
    this.#attempt = attempt;
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#attempt === attempt) this.#attemptFailed(attempt, error.code ?? error.message);
      else if (this.#upstream === upstream) this.reset();
    });
    upstream.once('connect', () => this.#connected(attempt));
  }

  #attemptFailed(attempt: Attempt, reason: string): void {
    this.#dropAttempt(attempt);
    this.#tried = [...this.#tried, attempt.backendIndex];
    this.#host.counters.addBackend(attempt.backendIndex, 'connectFailures');
    this.#host.connectFailed(attempt.backendIndex, reason);
    this.#connectNext();
  }

  #dropAttempt(attempt: Attempt): void {
    clearTimeout(attempt.timer);
    attempt.upstream.destroy(); // not resetAndDestroy: that would wait for the connection to be made
    this.#attempt = null;
    this.#releaseBackend();
  }

  #releaseBackend(): void {
    if (this.#backendIndex < 0) return;
    this.#host.counters.addConnections(this.#backendIndex, -1);
    this.#backendIndex = -1;
  }

  #connected(attempt: Attempt): void {
    if (this.#attempt !== attempt) return;
    const { upstream, backendIndex } = attempt;
    if (this.#reachedItself(attempt)) {
      this.#host.reachedItself(backendIndex); // before the next choice, or the proxy would chase its own tail
      this.#attemptFailed(attempt, 'it is this proxy itself');
      return;
    }
    clearTimeout(attempt.timer);
    this.#attempt = null;
    this.#upstream = upstream;
    upstream.on('close', () => this.#sideClosed());
    this.#host.counters.addBackend(backendIndex, 'connections');
    const { bytesToBackend, bytesToClient, userTimeoutMs } = this.#host;
    this.#clientWatch = new SocketWatch(this.client, userTimeoutMs);
    this.#upstreamWatch = new SocketWatch(upstream, userTimeoutMs);
    this.#pass(this.client, upstream, this.#upstreamWatch, bytesToBackend);
    this.#pass(upstream, this.client, this.#clientWatch, bytesToClient);
    this.#host.opened(this, backendIndex, this.#tried.length);
    this.client.resume();
  }

  /**
   * True when the proxy accepted what it opened itself. Catches what the check at start cannot: a backend address that
   * this host got later, such as the VIP. Both ends have the same address only when the far end is on this host.
   */
  #reachedItself({ upstream, backendIndex }: Attempt): boolean {
    const samePort = this.#host.backends[backendIndex]?.port === this.#host.port; // spares all others two system calls
    return samePort && upstream.localAddress === upstream.remoteAddress;
  }

  /** Bytes and FIN of `from` go to `to`. */
  #pass(from: Socket, to: Socket, toWatch: SocketWatch, bytes: Float64Array): void {
    const index = this.#backendIndex;
    from.on('data', (chunk: Buffer) => {
      if (this.#closed) return;
      bytes[index] = (bytes[index] ?? 0) + chunk.length;
      toWatch.wrote();
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => to.end());
  }

  /** Both sides have sent and got their FIN, or were destroyed. */
  #sideClosed(): void {
    if (this.client.destroyed && (this.#upstream?.destroyed ?? true)) this.#finish();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    const backendIndex = this.#backendIndex;
    if (this.#attempt !== null) this.#dropAttempt(this.#attempt);
    this.#releaseBackend();
    this.#host.closed(this, backendIndex);
  }
}
