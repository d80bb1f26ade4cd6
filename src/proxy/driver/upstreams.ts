/** The backends of one proxy: their states and addresses, which one a client gets, and what is learnt when it tries. */
import { networkInterfaces } from 'node:os';
import { ipFromOctets, parseIp, parseSocketAddress } from '../../ip/address.ts';
import type { Log, LogFields, LogLevel } from '../../log/log.ts';
import { MAX_BACKENDS, type ProxyCounters } from '../counters.ts';
import {
  type BackendLoad,
  backendsToClose,
  chooseUpstream,
  findOwnBackend,
  type ProxyBackend,
  risenBackends,
  slowStartShare,
  withStates,
} from '../upstream.ts';
import type { EventLoop } from './event-loop.ts';
import { isOwnFault, socketAddress, type SocketAddress } from './tcp-socket.ts';

export type UpstreamsOptions = {
  readonly backends: readonly ProxyBackend[];
  readonly counters: ProxyCounters;
  readonly log: Log;
  /** Lines of one key are limited. */
  readonly logLimited: (key: string, level: LogLevel, message: string, fields: LogFields) => void;
};

export class Upstreams {
  readonly #loop: EventLoop;
  readonly #options: UpstreamsOptions;
  readonly #addresses: readonly SocketAddress[];
  /** When a backend came up again while others were up, per backend, monotonicMs. */
  readonly #risenAtMs = new Float64Array(MAX_BACKENDS).fill(Number.NEGATIVE_INFINITY);
  readonly #load: BackendLoad;
  #backends: readonly ProxyBackend[];
  #itself: readonly number[] = [];

  /** Throws a RangeError for more than MAX_BACKENDS backends, or one whose host is no IP address. */
  constructor(loop: EventLoop, options: UpstreamsOptions) {
    const { backends, counters } = options;
    if (backends.length > MAX_BACKENDS) {
      throw new RangeError(`the proxy takes at most ${MAX_BACKENDS} backends, got ${backends.length}`);
    }
    this.#loop = loop;
    this.#options = options;
    this.#backends = backends;
    this.#addresses = backends.map(addressOf);
    this.#load = {
      connections: (index) => counters.connections(index),
      isSuspect: (index) => counters.isSuspect(index),
      share: (index) => slowStartShare(loop.nowMs - (this.#risenAtMs[index] ?? 0)),
    };
  }

  get count(): number {
    return this.#backends.length;
  }

  /** Indices of those that turned out to be the proxy itself. */
  get itself(): readonly number[] {
    return this.#itself;
  }

  /** Its id, '' for an index that there is not. */
  idOf(index: number): string {
    return this.#backends[index]?.id ?? '';
  }

  addressOf(index: number): SocketAddress {
    return this.#addresses[index] ?? NOWHERE;
  }

  portOf(index: number): number | undefined {
    return this.#backends[index]?.port;
  }

  /** One that is known from the start to be a proxy at `port` of this host, or null. */
  findItself(port: number): ProxyBackend | null {
    return findOwnBackend(this.#backends, port, hostAddresses());
  }

  /**
   * Takes over the states; the set of backends itself is fixed, ids that are not in it are logged and ignored. Returns
   * the indices of those whose connections are to be closed.
   */
  setStates(update: readonly ProxyBackend[]): number[] {
    const previous = this.#backends;
    const { backends, unknownIds } = withStates(previous, update);
    this.#backends = backends;
    if (unknownIds.length > 0) {
      const message = 'health report about a backend that the proxy does not have';
      this.#options.logLimited('unknown-backend', 'error', message, { ids: unknownIds });
    }
    for (const index of risenBackends(previous, backends)) this.#risenAtMs[index] = this.#loop.nowMs;
    return backendsToClose(previous, backends);
  }

  /** Index of the backend that a client gets, which counts as its connection from now on; -1: none is left. */
  choose(tried: readonly number[]): number {
    const index = chooseUpstream(this.#backends, this.#load, tried);
    if (index === null) return -1;
    this.#options.counters.addConnections(index, 1);
    return index;
  }

  /** A client is connected to it. */
  connected(index: number): void {
    const { counters } = this.#options;
    counters.addBackend(index, 'connections');
    if (counters.isSuspect(index)) counters.prove(index, this.#loop.nowMs);
  }

  connectFailed(index: number, reason: string, attemptedAtMs: number): void {
    const { counters, logLimited } = this.#options;
    counters.addBackend(index, 'connectFailures');
    if (!isOwnFault(reason)) counters.suspect(index, attemptedAtMs);
    const backend = this.idOf(index);
    const message = `cannot connect to backend ${backend}: ${reason}`;
    logLimited(`connect-${backend}`, 'warn', message, { backend, reason });
  }

  /** The connection to this backend came back to the proxy. */
  reachedItself(index: number): void {
    if (this.#itself.includes(index)) return;
    this.#itself = [...this.#itself, index];
    const backend = this.idOf(index);
    this.#options.log(
      'error',
      `API server ${backend} is this proxy itself and is no longer used: check peers and proxy.backendPort`,
      { backend },
    );
  }
}

const NOWHERE: SocketAddress = socketAddress(ipFromOctets(new Uint8Array(4)), 0);

/** Throws a RangeError when the backend's host is no IP address. */
function addressOf({ id, host, port }: ProxyBackend): SocketAddress {
  const address = parseIp(host);
  if (address === null) throw new RangeError(`backend ${id}: ${host} is not an IP address`);
  return socketAddress(address, port);
}

function hostAddresses(): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return new Set(addresses.map(({ address }) => parseSocketAddress(address)?.text ?? address));
}
