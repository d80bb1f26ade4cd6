/** The TCP data plane of one thread: a listener, and a relay for each client. */
import { parseIp, parseSocketAddress } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log, LogFields, LogLevel } from '../../log/log.ts';
import { isTooOld, longestAgeMs } from '../age.ts';
import type { AdmissionMemory, ProxyLimits } from '../admission.ts';
import { type ConnectionDetail, ConnectionReport, type OpenedConnection } from '../connections.ts';
import { MAX_BACKENDS, ProxyCounters } from '../counters.ts';
import type { Ending } from '../endings.ts';
import type { ProxyBackend } from '../upstream.ts';
import { ConnectAttempts } from './connect-attempts.ts';
import type { Deadline, EventLoop } from './event-loop.ts';
import { FlowMemory } from './flow.ts';
import { Gate } from './gate.ts';
import { HandedOverVips } from './handed-over-vips.ts';
import { Listener, ListenError } from './listener.ts';
import { MAX_PIPES } from './open-files.ts';
import { abortOwnClients } from './own-clients.ts';
import { Relay } from './relay.ts';
import type { RelayHost } from './relay.ts';
import { acceptedClient, closeWithReset, type ConnectionOptions, localAddress } from './tcp-socket.ts';
import { Upstreams } from './upstreams.ts';

export type TcpProxyOptions = {
  /** 0 takes any free port. */
  readonly port: number;
  readonly backends: readonly ProxyBackend[];
  /** For each backend that a client tries. */
  readonly connectTimeoutMs: number;
  readonly reusePort: boolean;
  readonly counters: SharedArrayBuffer;
  readonly limits: ProxyLimits;
  readonly admission: AdmissionMemory;
  readonly log: Log;
  /** The listener has been closed from outside; the reason is one sentence. Clients that are connected stay. */
  readonly onListenerLost?: (reason: string) => void;
  /** There is something in `connections` to take. */
  readonly onConnections?: () => void;
  /** Replaces MAX_PIPES. */
  readonly maxPipes?: number;
  /** Replaces single values of DEFAULT_TIMES. */
  readonly times?: Partial<ProxyTimes>;
};

export type ProxyTimes = ConnectionOptions & {
  /** How often peers that take nothing are told from dead ones; far below userTimeoutMs. */
  readonly checkIntervalMs: number;
  /** How often byte counts reach the shared counters. */
  readonly flushIntervalMs: number;
};

/** client-go gives a silent connection up after 45 s; the kernel is to be done well before that. */
const DEFAULT_TIMES: ProxyTimes = {
  keepAliveIdleMs: 15_000,
  userTimeoutMs: 30_000,
  checkIntervalMs: 5_000,
  flushIntervalMs: 1_000,
};

const LOG_INTERVAL_MS = 5_000;
/** How often connections are looked at for their age. */
const AGE_TICK_MS = 500;

/**
 * Listens on every address of the host, so on a VIP whenever it is bound, and relays each client to a backend.
 * No idle timeout: a watch may be silent for hours; keepalive and TCP_USER_TIMEOUT end connections to dead peers.
 */
export class TcpProxy {
  /** Which connections opened and closed, for whoever takes it. */
  readonly connections = new ConnectionReport<Relay>();
  readonly #options: TcpProxyOptions;
  readonly #times: ProxyTimes;
  readonly #counters: ProxyCounters;
  readonly #loop: EventLoop;
  readonly #relays = new Set<Relay>();
  readonly #bytesToBackend = new Float64Array(MAX_BACKENDS);
  readonly #bytesToClient = new Float64Array(MAX_BACKENDS);
  readonly #limiter = new LogLimit(LOG_INTERVAL_MS, 2 * MAX_BACKENDS);
  readonly #host: RelayHost;
  readonly #memory: FlowMemory;
  readonly #upstreams: Upstreams;
  readonly #gate: Gate;
  readonly #attempts: ConnectAttempts;
  readonly #handedOver: HandedOverVips;
  readonly #ageDeadline: Deadline;
  readonly #flushDeadline: Deadline;
  readonly #checkDeadline: Deadline;
  readonly #graceDeadline: Deadline;
  #listener: Listener | null = null;
  #port: number;
  /** Resolves `stop` when the last relay has ended, or the grace is over. */
  #whenIdle: (() => void) | null = null;

  /** Throws a RangeError for more than MAX_BACKENDS backends or foreign counters. */
  constructor(loop: EventLoop, options: TcpProxyOptions) {
    this.#loop = loop;
    this.#options = options;
    this.#times = { ...DEFAULT_TIMES, ...options.times };
    this.#counters = new ProxyCounters(options.counters);
    this.#port = options.port;
    this.#memory = new FlowMemory(options.maxPipes ?? MAX_PIPES, (reason) => this.#pipeRefused(reason));
    const logLimited = (key: string, level: LogLevel, message: string, fields: LogFields): void =>
      this.#logLimited(key, level, message, fields);
    this.#upstreams = new Upstreams(loop, {
      backends: options.backends,
      counters: this.#counters,
      log: options.log,
      logLimited,
    });
    this.#host = this.#relayHost();
    this.#gate = new Gate({
      limits: options.limits,
      counters: this.#counters,
      memory: options.admission,
      log: logLimited,
    });
    this.#attempts = new ConnectAttempts(loop, this.#counters, options.connectTimeoutMs);
    this.#handedOver = new HandedOverVips(loop, {
      on: (address) => this.#connectionsOn(address),
      reset: (address, relays) => this.#resetOnVip(address, relays),
    });
    this.#ageDeadline = loop.deadline(() => this.#closeAged());
    this.#flushDeadline = loop.deadline(() => this.#flush());
    this.#checkDeadline = loop.deadline(() => this.#check());
    this.#graceDeadline = loop.deadline(() => this.#whenIdle?.());
  }

  /** Starts to serve; returns the port. Throws a ListenError. */
  listen(): number {
    const own = this.#upstreams.findItself(this.#options.port);
    if (own !== null) {
      throw new ListenError(
        'EPROXYLOOP',
        `backend ${own.id} is this proxy itself (proxy.port is ${this.#options.port}): set proxy.backendPort to the API server's port`,
      );
    }
    this.#listener = new Listener(this.#loop, {
      ...this.#times,
      port: this.#options.port,
      reusePort: this.#options.reusePort,
      onClient: (fd) => this.#accept(fd),
      waitMs: () => this.#gate.waitMs(this.#loop.nowMs),
      onError: (code) => this.#acceptFailed(code),
      onLost: (code) => this.#listenerLost(code),
    });
    this.#counters.addListeners(1);
    this.#port = this.#listener.port;
    return this.#port;
  }

  /** Takes over the states; the set of backends itself is fixed, ids that are not in it are logged and ignored. */
  setBackends(update: readonly ProxyBackend[]): void {
    const closing = this.#upstreams.setStates(update);
    if (closing.length > 0) this.#closeBackends(new Set(closing));
  }

  /** Resets the connections whose local address is `address`, and returns how many. */
  closeVip(address: string): number {
    return this.#resetOnVip(address, this.#connectionsOn(address));
  }

  /**
   * A successor has taken `address`: resets the connections on it that are not being used, and the others as soon as
   * they have their answers, at the latest after LINGER_MAX_MS. Accepts all the while. Resolves with how many were
   * reset.
   */
  closeHandedOverVip(address: string): Promise<number> {
    return this.#handedOver.finish(address);
  }

  /** Accepts no more, waits up to `graceMs` for clients to leave, resets the rest. Resolves when all is closed. */
  async stop(graceMs: number): Promise<void> {
    this.#closeListener();
    await this.#idle(graceMs);
    for (const relay of this.#relays) relay.reset('stopping');
    this.#flush();
    for (const deadline of [this.#flushDeadline, this.#checkDeadline, this.#ageDeadline])
      deadline.atMs = Number.POSITIVE_INFINITY;
    this.#memory.pipes.close();
  }

  /** Up to `count` open connections more; null after the last. The iterator is `connections.entries()`. */
  details(
    entries: IterableIterator<[Relay, OpenedConnection]>,
    count: number,
  ): readonly ConnectionDetail[] | null {
    const details: ConnectionDetail[] = [];
    while (details.length < count) {
      const next = entries.next();
      if (next.done === true) return details.length === 0 ? null : details;
      const [relay, opened] = next.value;
      const { bytesToBackend, bytesToClient, state } = relay;
      const idleMs = Math.max(0, Math.round(this.#loop.nowMs - relay.activeAtMs));
      details.push({ ...opened, bytesToBackend, bytesToClient, state, idleMs });
    }
    return details;
  }

  #connectionsOn(address: string): Relay[] {
    // Who is connected in the kernel only must not be forgotten there.
    this.#listener?.acceptWaiting();
    const vip = parseIp(address)?.text ?? address;
    const isVip = new Map<string, boolean>(); // clients share few local addresses
    return [...this.#relays].filter(({ addresses: { local } }) => {
      if (!isVip.has(local)) isVip.set(local, canonicalText(local) === vip);
      return isVip.get(local) === true;
    });
  }

  #resetOnVip(vip: string, relays: readonly Relay[]): number {
    for (const relay of relays) relay.reset('vip_removed');
    const failure = abortOwnClients(vip, this.#port, relays);
    if (failure !== null) this.#options.log('warn', failure, { vip });
    const closed = relays.length;
    if (closed > 0) this.#options.log('info', `closed ${closed} connections on ${vip}`, { vip, closed });
    return closed;
  }

  #relayHost(): RelayHost {
    const upstreams = this.#upstreams;
    return {
      get ownBackends() {
        return upstreams.itself;
      },
      loop: this.#loop,
      memory: this.#memory,
      options: this.#times,
      bytesToBackend: this.#bytesToBackend,
      bytesToClient: this.#bytesToClient,
      choose: (tried) => upstreams.choose(tried),
      addressOf: (index) => upstreams.addressOf(index),
      hasOwnPort: (index) => upstreams.portOf(index) === this.#port,
      attempting: (relay) => this.#attempts.begin(relay),
      attempted: (relay) => this.#attempts.end(relay),
      connectFailed: (index, reason, attemptedAtMs) => upstreams.connectFailed(index, reason, attemptedAtMs),
      released: (index) => this.#counters.addConnections(index, -1),
      opened: (relay, index) => this.#opened(relay, index),
      reachedItself: (index) => upstreams.reachedItself(index),
      refused: (tried) => this.#refused(tried),
      closed: (relay, index, ending) => this.#closed(relay, index, ending),
    };
  }

  #accept(fd: number): void {
    const { text: client, port: clientPort } = acceptedClient();
    if (!this.#gate.admit(client, this.#loop.nowMs)) {
      closeWithReset(fd);
      return;
    }
    const relay = new Relay(fd, { client, clientPort, local: localAddress(fd).text }, this.#host);
    this.#relays.add(relay);
    this.#loop.arm(this.#checkDeadline, this.#times.checkIntervalMs);
    relay.start();
  }

  #pipeRefused(reason: string): void {
    this.#counters.add('pipeShortages');
    const message = `large transfers are copied, at about twice the processor time, until there are pipes again: ${reason}`;
    this.#options.log('warn', message, { event: 'pipes' });
  }

  #listenerLost(code: string): void {
    this.#closeListener();
    this.#options.onListenerLost?.(
      `port ${this.#port} has been closed from outside the process (${code}), as 'ss -K' does, so clients cannot connect`,
    );
  }

  #closeListener(): void {
    const listener = this.#listener;
    if (listener === null) return;
    // First: to close it takes in what waits, which may find that it was closed from outside, and come here again.
    this.#listener = null;
    listener.close();
    this.#counters.addListeners(-1);
  }

  #acceptFailed(code: string): void {
    this.#counters.add('acceptErrors');
    this.#logLimited(`accept-${code}`, 'error', `cannot accept a client: ${code}`, { code });
  }

  #opened(relay: Relay, backendIndex: number): void {
    this.#upstreams.connected(backendIndex);
    this.#loop.arm(this.#flushDeadline, this.#times.flushIntervalMs);
    const { client, clientPort, local } = relay.addresses;
    const backend = this.#upstreams.idOf(backendIndex);
    const openedAtMs = this.#loop.nowMs;
    this.connections.opens(relay, { client, clientPort, local, backend, openedAtMs });
    this.#options.onConnections?.();
    if (this.#options.limits.maxConnectionAgeMs > 0) this.#loop.arm(this.#ageDeadline, AGE_TICK_MS);
  }

  #refused(tried: number): void {
    const message = `client refused: none of ${tried} backends can be reached`;
    this.#logLimited('refused', 'warn', message, { tried });
  }

  #closed(relay: Relay, backendIndex: number, ending: Ending): void {
    this.#relays.delete(relay);
    this.#counters.addEnding(ending);
    const { bytesToBackend, bytesToClient } = relay;
    this.connections.closes(relay, { ending, bytesToBackend, bytesToClient });
    this.#options.onConnections?.();
    this.#gate.left(relay.addresses.client);
    if (backendIndex >= 0) this.#flushBackend(backendIndex);
    if (this.#relays.size === 0) this.#whenIdle?.();
  }

  #closeBackends(indices: ReadonlySet<number>): void {
    let closed = 0;
    for (const relay of this.#relays) {
      if (!indices.has(relay.backendIndex)) continue;
      if (relay.isConnecting) {
        relay.abandonAttempt('the health check failed');
      } else {
        relay.reset('backend_down');
        closed += 1;
      }
    }
    if (closed === 0) return;
    const ids = [...indices].map((index) => this.#upstreams.idOf(index));
    this.#options.log('info', `closed ${closed} connections of ${ids.join(', ')}: down, and another is up`, {
      backends: ids,
      closed,
    });
  }

  #check(): void {
    for (const relay of this.#relays) relay.check();
    if (this.#relays.size > 0) this.#loop.arm(this.#checkDeadline, this.#times.checkIntervalMs);
  }

  #closeAged(): void {
    const { maxConnectionAgeMs } = this.#options.limits;
    const { nowMs } = this.#loop;
    for (const relay of this.#relays) {
      if (relay.isConnecting) continue;
      const ageMs = nowMs - relay.openedAtMs;
      const quietMs = nowMs - relay.activeAtMs;
      const longestMs = longestAgeMs(maxConnectionAgeMs, relay.ageJitter);
      if (!isTooOld({ ageMs, quietMs, isHeldBack: relay.isHeldBack }, longestMs)) continue;
      relay.close('age');
    }
    if (this.#relays.size > 0) this.#loop.arm(this.#ageDeadline, AGE_TICK_MS);
  }

  #flush(): void {
    for (let index = 0; index < this.#upstreams.count; index += 1) this.#flushBackend(index);
    if (this.#relays.size > 0) this.#loop.arm(this.#flushDeadline, this.#times.flushIntervalMs);
  }

  #flushBackend(index: number): void {
    const toBackend = this.#bytesToBackend[index] ?? 0;
    const toClient = this.#bytesToClient[index] ?? 0;
    if (toBackend > 0) this.#counters.addBackend(index, 'bytesToBackend', toBackend);
    if (toClient > 0) this.#counters.addBackend(index, 'bytesToClient', toClient);
    this.#bytesToBackend[index] = 0;
    this.#bytesToClient[index] = 0;
  }

  #idle(timeoutMs: number): Promise<void> {
    if (this.#relays.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#graceDeadline.atMs = this.#loop.nowMs + timeoutMs;
      this.#whenIdle = () => {
        resolve();
        this.#loop.giveNodeATurn();
      };
    });
  }

  #logLimited(key: string, level: LogLevel, message: string, fields: LogFields): void {
    const suppressed = this.#limiter.take(key, this.#loop.nowMs);
    if (suppressed === null) return;
    this.#options.log(level, message, suppressed === 0 ? fields : { ...fields, suppressed });
  }
}

/** Canonical text of what the kernel calls an address: without zone, IPv4 clients of a `::` listener as IPv4. */
function canonicalText(text: string): string {
  return parseSocketAddress(text)?.text ?? text;
}
