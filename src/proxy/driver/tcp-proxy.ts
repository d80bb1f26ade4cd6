/** The TCP data plane of one thread: a listener, and a relay for each client. */
import { createServer } from 'node:net';
import type { AddressInfo, ListenOptions, Server, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { monotonicMs } from '../../net/clock.ts';
import { parseIp } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log, LogFields, LogLevel } from '../../log/log.ts';
import { ConnectionReport } from '../connections.ts';
import { MAX_BACKENDS, ProxyCounters } from '../counters.ts';
import { backendsToClose, findOwnBackend, withStates } from '../upstream.ts';
import type { ProxyBackend } from '../upstream.ts';

import { Relay } from './relay.ts';
import type { RelayHost } from './relay.ts';
import { resetSocket } from './tcp-socket.ts';

export type TcpProxyOptions = {
  /** 0 takes any free port. */
  readonly port: number;
  readonly backends: readonly ProxyBackend[];
  /** For each backend that a client tries. */
  readonly connectTimeoutMs: number;
  readonly reusePort: boolean;
  readonly counters: SharedArrayBuffer;
  /** Over all workers that share the counters; further clients are reset when they arrive. */
  readonly maxClients: number;
  /** True: each connection is logged, at level debug. */
  readonly debug: boolean;
  readonly log: Log;
  /** Replaces single values of DEFAULT_TIMES. */
  readonly times?: Partial<ProxyTimes>;
};

export type ProxyTimes = {
  /** Silence after which the kernel begins to probe the peer. */
  readonly keepAliveIdleMs: number;
  /** How long sent data or probes may go unanswered before the connection is given up (TCP_USER_TIMEOUT). */
  readonly userTimeoutMs: number;
  /** How often sockets that the event loop does not poll are looked at; far below userTimeoutMs. */
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

/** Clients that connect at the same moment, as all do after a takeover; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;
const LOG_INTERVAL_MS = 5_000;
/** `listen` failed for want of IPv6 in this kernel or namespace. */
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
  readonly #server: Server;
  readonly #relays = new Set<Relay>();
  readonly #bytesToBackend = new Float64Array(MAX_BACKENDS);
  readonly #bytesToClient = new Float64Array(MAX_BACKENDS);
  readonly #limiter = new LogLimit(LOG_INTERVAL_MS, 2 * MAX_BACKENDS);
  readonly #host: RelayHost;
  #backends: readonly ProxyBackend[];
  #ownBackends: readonly number[] = [];
  #port: number;
  #timers: readonly NodeJS.Timeout[] = [];
  /** Resolves `stop` when the last relay has ended. */
  #whenIdle: (() => void) | null = null;

  /** Throws a RangeError for more than MAX_BACKENDS backends or foreign counters. */
  constructor(options: TcpProxyOptions) {
    if (options.backends.length > MAX_BACKENDS) {
      throw new RangeError(
        `the proxy takes at most ${MAX_BACKENDS} backends, got ${options.backends.length}`,
      );
    }
    this.#options = options;
    this.#times = { ...DEFAULT_TIMES, ...options.times };
    this.#counters = new ProxyCounters(options.counters);
    this.#backends = options.backends;
    this.#port = options.port;
    this.#host = this.#relayHost();
    this.#server = createServer(
      {
        pauseOnConnect: true,
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: this.#times.keepAliveIdleMs,
      },
      (client) => this.#accept(client),
    );
  }

  /** Starts to serve; returns the port. Rejects with a ListenError. */
  async listen(): Promise<number> {
    const own = findOwnBackend(this.#backends, this.#options.port, hostAddresses());
    if (own !== null) {
      throw new ListenError(
        'EPROXYLOOP',
        `backend ${own.id} is this proxy itself (proxy.port is ${this.#options.port}): set proxy.backendPort to the API server's port`,
      );
    }
    await this.#bind();
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#server.on('error', (error: NodeJS.ErrnoException) => this.#acceptFailed(error));
    this.#timers = [
      setInterval(() => this.#flush(), this.#times.flushIntervalMs),
      setInterval(() => this.#check(), this.#times.checkIntervalMs),
    ];
    return this.#port;
  }

  /** Takes over the states; the set of backends itself is fixed, ids that are not in it are logged and ignored. */
  setBackends(update: readonly ProxyBackend[]): void {
    const previous = this.#backends;
    const { backends, unknownIds } = withStates(previous, update);
    this.#backends = backends;
    if (unknownIds.length > 0) {
      this.#logLimited(
        'unknown-backend',
        'error',
        `health report about a backend that the proxy does not have`,
        {
          ids: unknownIds,
        },
      );
    }
    const closing = backendsToClose(previous, backends);
    if (closing.length > 0) this.#closeBackends(new Set(closing));
  }

  /** Resets the connections whose local address is `address`, and returns how many. */
  vipRemoved(address: string): number {
    const vip = parseIp(address)?.text ?? address;
    const isVip = new Map<string | undefined, boolean>([[undefined, false]]); // clients share few local addresses
    let closed = 0;
    for (const relay of this.#relays) {
      const local = relay.client.localAddress;
      if (!isVip.has(local)) isVip.set(local, canonicalText(local ?? '') === vip);
      if (isVip.get(local) !== true) continue;
      this.#counters.add('closedVipRemoved'); // first, so that whoever sees the RST sees it counted
      relay.reset();
      closed += 1;
    }
    if (closed > 0) this.#options.log('info', `closed ${closed} connections on ${vip}`, { vip, closed });
    return closed;
  }

  /** Accepts no more, waits up to `graceMs` for clients to leave, resets the rest. Resolves when all is closed. */
  async stop(graceMs: number): Promise<void> {
    const serverClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#idle(graceMs);
    for (const relay of this.#relays) relay.reset();
    for (const timer of this.#timers) clearInterval(timer);
    await serverClosed;
    this.#flush();
  }

  #relayHost(): RelayHost {
    const { connectTimeoutMs } = this.#options;
    const { keepAliveIdleMs, userTimeoutMs } = this.#times;
    const backends = (): readonly ProxyBackend[] => this.#backends;
    const ownBackends = (): readonly number[] => this.#ownBackends;
    const port = (): number => this.#port;
    return {
      get port() {
        return port();
      },
      get backends() {
        return backends();
      },
      get ownBackends() {
        return ownBackends();
      },
      counters: this.#counters,
      bytesToBackend: this.#bytesToBackend,
      bytesToClient: this.#bytesToClient,
      connectTimeoutMs,
      keepAliveIdleMs,
      userTimeoutMs,
      opened: (relay, backendIndex, tried) => this.#opened(relay, backendIndex, tried),
      connectFailed: (backendIndex, reason) => this.#connectFailed(backendIndex, reason),
      reachedItself: (backendIndex) => this.#reachedItself(backendIndex),
      refused: (tried) => this.#refused(tried),
      closed: (relay, backendIndex) => this.#closed(relay, backendIndex),
    };
  }

  async #bind(): Promise<void> {
    const { port, reusePort } = this.#options;
    const common = { port, reusePort, backlog: BACKLOG };
    try {
      await listening(this.#server, { ...common, host: '::', ipv6Only: false });
    } catch (error) {
      if (!NO_IPV6.has(codeOf(error))) throw listenError(error, port);
      await listening(this.#server, { ...common, host: '0.0.0.0' }).catch((reason: unknown) => {
        throw listenError(reason, port);
      });
    }
  }

  #accept(client: Socket): void {
    this.#counters.add('accepted');
    if (this.#counters.addClients(1) >= this.#options.maxClients) {
      this.#counters.addClients(-1);
      this.#counters.add('overLimit');
      client.on('error', ignore);
      resetSocket(client);
      this.#logLimited(
        'over-limit',
        'warn',
        `client refused: ${this.#options.maxClients} clients are connected, which is the limit`,
        { limit: this.#options.maxClients },
      );
      return;
    }
    const relay = new Relay(client, this.#host);
    this.#relays.add(relay);
    relay.start();
  }

  #acceptFailed(error: NodeJS.ErrnoException): void {
    const code = codeOf(error);
    this.#counters.add('acceptErrors');
    this.#logLimited(`accept-${code}`, 'error', `cannot accept a client: ${error.message}`, { code });
  }

  #opened(relay: Relay, backendIndex: number, tried: number): void {
    const { remoteAddress = '', remotePort = 0, localAddress = '' } = relay.client;
    const backend = this.#backends[backendIndex]?.id ?? '';
    this.connections.opens(relay, {
      client: remoteAddress,
      clientPort: remotePort,
      local: localAddress,
      backend,
      openedAtMs: monotonicMs(),
    });
    if (!this.#options.debug) return;
    this.#options.log('debug', `client ${remoteAddress}:${remotePort} goes to ${backend}`, {
      client: remoteAddress,
      clientPort: remotePort,
      local: localAddress,
      backend,
      tried,
    });
  }

  #connectFailed(backendIndex: number, reason: string): void {
    const backend = this.#backends[backendIndex]?.id ?? '';
    this.#logLimited(`connect-${backend}`, 'warn', `cannot connect to backend ${backend}: ${reason}`, {
      backend,
      reason,
    });
  }

  #reachedItself(backendIndex: number): void {
    if (this.#ownBackends.includes(backendIndex)) return;
    this.#ownBackends = [...this.#ownBackends, backendIndex];
    const backend = this.#backends[backendIndex]?.id;
    this.#options.log(
      'error',
      `backend ${backend} is this proxy itself and is not used any more: check peers and proxy.backendPort`,
      { backend },
    );
  }

  #refused(tried: number): void {
    this.#counters.add('refused');
    this.#logLimited('refused', 'warn', `client refused: none of ${tried} backends can be reached`, {
      tried,
    });
  }

  #closed(relay: Relay, backendIndex: number): void {
    this.#relays.delete(relay);
    this.connections.closes(relay, relay.client.bytesRead, relay.client.bytesWritten);
    this.#counters.addClients(-1);
    if (backendIndex >= 0) this.#flushBackend(backendIndex);
    if (this.#relays.size === 0) this.#whenIdle?.();
  }

  #closeBackends(indices: ReadonlySet<number>): void {
    let closed = 0;
    for (const relay of this.#relays) {
      if (!indices.has(relay.backendIndex)) continue;
      if (relay.connecting) {
        relay.abandonAttempt('the health check failed');
      } else {
        this.#counters.add('closedBackendDown');
        relay.reset();
        closed += 1;
      }
    }
    if (closed === 0) return;
    const ids = [...indices].map((index) => this.#backends[index]?.id);
    this.#options.log('info', `closed ${closed} connections of ${ids.join(', ')}: down, and another is up`, {
      backends: ids,
      closed,
    });
  }

  #check(): void {
    for (const relay of this.#relays) relay.check();
  }

  #flush(): void {
    for (let index = 0; index < this.#backends.length; index += 1) this.#flushBackend(index);
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
      const timer = setTimeout(resolve, timeoutMs);
      this.#whenIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #logLimited(key: string, level: LogLevel, message: string, fields: LogFields): void {
    const suppressed = this.#limiter.take(key, monotonicMs());
    if (suppressed === null) return;
    this.#options.log(level, message, suppressed === 0 ? fields : { ...fields, suppressed });
  }
}

function ignore(): void {}

/** The error listener must be gone after listening: later errors are accept's. */
function listening(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function listenError(error: unknown, port: number): ListenError {
  const code = codeOf(error);
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
  return new ListenError(
    code,
    `cannot listen on port ${port}: ${error instanceof Error ? error.message : code}`,
  );
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? 'EUNKNOWN';
}

function hostAddresses(): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return new Set(addresses.map((entry) => canonicalText(entry.address)));
}

/** Canonical text of what the kernel calls an address: without zone, IPv4 clients of a `::` listener as IPv4. */
function canonicalText(text: string): string {
  const bare = text.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '');
  return parseIp(bare)?.text ?? bare;
}
