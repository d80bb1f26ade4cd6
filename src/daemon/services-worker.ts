/**
 * What the services thread does: the health checks, the takeover of clients, the log, and the admin endpoint. It passes
 * between them, the main thread and the proxy threads what each has to know.
 */
import type { MessagePort } from 'node:worker_threads';
import type { HealthChecker, HealthCheckerOptions, HealthReport } from '../health/driver/checker.ts';
import type { CredentialWatch, CredentialWatchOptions } from '../health/driver/credential-watch.ts';
import { errorText } from '../log/error-text.ts';
import type { Log, LogFields, LogLevel } from '../log/log.ts';
import { type ClosedConnection, ConnectionTable, type OpenedConnection } from '../proxy/connections.ts';
import { ProxyCounters } from '../proxy/counters.ts';
import type { ProxyCommand, ProxyEvent } from '../proxy/driver/messages.ts';
import { monotonicMs } from '../runtime/clock.ts';
import {
  THREAD_ELECTION,
  THREAD_NETWORK,
  THREAD_PROXY,
  THREAD_SERVICES,
  type ThreadVitals,
  readThreadVitals,
} from '../runtime/thread-vitals.ts';
import type { Takeover, TakeoverOptions } from '../takeover/driver/takeover.ts';
import type { Admin, AdminOptions } from './admin.ts';
import { BackendStates } from './backend-states.ts';
import { latestCheckMs } from '../health/backend.ts';
import type { HealthClass } from '../node/health-class.ts';
import { classOfPriority } from '../vrrp/priority.ts';
import { ConnectionLists } from './connection-lists.ts';
import { drainRefusal } from './drain-refusal.ts';
import { HealthLog } from './health-log.ts';
import type { LogSink } from './logger.ts';
import type { ElectionSnapshot, FromServices, ServicesWorkerData, ToServices } from './messages.ts';
import type { NodeLock } from './node-lock.ts';
import { logObstacle, untilDone } from './obstacle.ts';
import { NotReadyReminder, impediments } from './readiness.ts';
import { stateLine } from './state-line.ts';
import { type Observation, buildStatus } from './status.ts';
import { WAIT_SUBJECTS, type WaitReason } from './waits.ts';

/** What the thread is made of; the entry gives the real ones. */
export type ServicesParts = {
  readonly sink: LogSink;
  readonly lock: Pick<NodeLock, 'take' | 'release'>;
  readonly admin: (options: AdminOptions) => Pick<Admin, 'listen' | 'listenForControl' | 'close'>;
  readonly takeover: (
    options: TakeoverOptions,
  ) => Pick<
    Takeover,
    | 'opened'
    | 'closed'
    | 'setActive'
    | 'useInterface'
    | 'prepareHandover'
    | 'stopSheltering'
    | 'read'
    | 'close'
  >;
  readonly checker: (
    options: HealthCheckerOptions,
  ) => Pick<HealthChecker, 'start' | 'useCredentials' | 'checkNow' | 'stop'>;
  readonly credentialWatch: (
    options: CredentialWatchOptions,
  ) => Pick<CredentialWatch, 'start' | 'lookAgain' | 'expiries' | 'replaced' | 'stop'>;
};

type Start = Extract<ToServices, { type: 'start' }>;
/** All messages but those that the entry handles. */
type Command = Exclude<ToServices, { type: 'stop' }>;
/** What there is once the node is known and the proxy listens. */
type Started = {
  readonly takeover: ReturnType<ServicesParts['takeover']>;
  readonly checker: ReturnType<ServicesParts['checker']>;
  readonly credentialWatch: ReturnType<ServicesParts['credentialWatch']>;
  readonly proxyPorts: readonly MessagePort[];
};

const NOT_STARTED: ElectionSnapshot = {
  waitingFor: WAIT_SUBJECTS.start,
  waitReason: 'start',
  impediment: null,
  interface: null,
  stopping: false,
  drained: false,
  routers: [],
};
const REMINDER_LOOK_MS = 30_000;
const NOT_CHECKED: HealthReport = { backends: [], settled: false, class: 'C', confirmedAtMs: 0 };

/** From when nothing can be verified with a replaced file to the restart, at least; and of a node that has the VIP. */
const RESTART_MS = 15_000;
const ACTIVE_RESTART_MS = 180_000;
/** By up to this much longer, so that nodes restart one after another. */
const RESTART_SPREAD_MS = 60_000;

export class ServicesWorker {
  readonly #data: ServicesWorkerData;
  readonly #parts: ServicesParts;
  readonly #post: (message: FromServices) => void;
  readonly #admin: ReturnType<ServicesParts['admin']>;
  readonly #proxyCounters: ProxyCounters;
  readonly #healthLog: HealthLog;
  readonly #backendStates = new BackendStates();
  readonly #connectionLists = new ConnectionLists();
  readonly #connections: ConnectionTable;
  readonly #stopping = new AbortController();
  #logLevel: LogLevel;
  readonly #reminder = new NotReadyReminder();
  #reminding: NodeJS.Timeout | null = null;
  #election = NOT_STARTED;
  #report = NOT_CHECKED;
  #started: Started | null = null;
  #isRestarting = false;
  /** Since when nothing can be verified with a file that has been replaced, by the time of the checks. */
  #outdatedSinceMs: number | null = null;
  /** Another one on each node. */
  readonly #restartDelayMs = Math.random() * RESTART_SPREAD_MS;

  /** `post` takes the messages to the main thread. */
  constructor(data: ServicesWorkerData, parts: ServicesParts, post: (message: FromServices) => void) {
    this.#data = data;
    this.#parts = parts;
    this.#post = post;
    this.#logLevel = data.config.log.level;
    this.#proxyCounters = new ProxyCounters(data.proxyCounters);
    this.#healthLog = new HealthLog(this.#log, data.config.health.path);
    this.#connections = new ConnectionTable({
      opened: (connection) => this.#onOpened(connection),
      closed: (connection, closed) => this.#onClosed(connection, closed),
    });
    this.#admin = parts.admin({
      ...data.config.admin,
      observe: () => this.#observe(),
      drain: (force) => this.#drain(force),
      undrain: () => post({ type: 'undrain' }),
      connections: () => this.#connectionLists.ask(this.#started?.proxyPorts ?? []),
      log: this.#log,
    });
  }

  /**
   * Opens the admin endpoint, takes the lock of this node, and opens the control socket; waits while something is in
   * the way of one. The lock comes before anything is touched that another kube-vrrp may have, as there must never be
   * two at work: an old kubelet starts a pod while the one that it replaces still hands over. Posts `ready` or
   * `failed`, and never rejects.
   */
  async listen(): Promise<void> {
    this.#reminding = setInterval(() => this.#remind(), REMINDER_LOOK_MS).unref();
    try {
      await this.#untilDone('admin_endpoint', () => this.#admin.listen());
      await this.#untilDone('node_lock', () => this.#parts.lock.take());
      await this.#untilDone('control_socket', () => this.#admin.listenForControl());
      this.#post({ type: 'ready' });
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#post({ type: 'failed', message: errorText(error) });
    }
  }

  #untilDone(reason: WaitReason, attempt: () => Promise<void>): Promise<void> {
    const subject = WAIT_SUBJECTS[reason];
    return untilDone(attempt, {
      signal: this.#stopping.signal,
      onObstacle: (text) => {
        const waiting = { waitingFor: `${subject}: ${text}`, waitReason: reason };
        this.#election = text === null ? NOT_STARTED : { ...NOT_STARTED, ...waiting };
        logObstacle(this.#log, subject, text);
      },
    });
  }

  #remind(): void {
    const text = this.#reminder.look(impediments(this.#observe()), monotonicMs());
    if (text !== null) this.#log('warn', text, { event: 'not_ready' });
  }

  /** A message of the main thread. */
  receive(message: Command): void {
    switch (message.type) {
      case 'log':
        this.#parts.sink.write(message.record);
        break;
      case 'start':
        this.#start(message);
        break;
      case 'prepareHandover':
        void this.#prepareHandover();
        break;
      case 'election':
        this.#onElection(message.snapshot);
        break;
      case 'reload':
        this.#reload(message.logLevel, message.text);
        break;
      case 'logState':
        this.#logState();
        break;
    }
  }

  /** Ends everything but the log. */
  async close(): Promise<void> {
    this.#stopping.abort();
    if (this.#reminding !== null) clearInterval(this.#reminding);
    this.#started?.takeover.close();
    await this.#started?.credentialWatch.stop();
    await this.#started?.checker.stop();
    await this.#admin.close();
    await this.#parts.lock.release();
    for (const port of this.#started?.proxyPorts ?? []) port.close();
  }

  readonly #log: Log = (level, message, fields = {}) => {
    this.#parts.sink.write({ level, message, fields, timeMs: Date.now() });
  };

  #start({ self, interfaceName, backends, credentials, proxyPorts }: Start): void {
    const { config } = this.#data;
    const checker = this.#parts.checker({
      ...config.health,
      backends,
      credentials,
      onReport: (report) => this.#onReport(report),
      onTransition: (backend, previous) => this.#healthLog.transition(backend, previous),
    });
    const takeover = this.#parts.takeover({
      self,
      peers: config.peers.filter(({ family, text }) => family === self.family && text !== self.text),
      vrid: config.vrrp.vrid,
      port: config.proxy.port,
      vips: config.vips,
      interfaceName,
      listeners: config.proxy.workers,
      log: this.#log,
    });
    const credentialWatch = this.#parts.credentialWatch({
      paths: config.health,
      credentials,
      log: this.#log,
      onChange: (changed) => checker.useCredentials(changed),
    });
    this.#started = { takeover, checker, credentialWatch, proxyPorts };
    for (const [worker, port] of proxyPorts.entries())
      port.on('message', (event: ProxyEvent) => this.#onProxy(worker, port, event));
    checker.start();
    credentialWatch.start();
  }

  async #prepareHandover(): Promise<void> {
    await this.#started?.takeover.prepareHandover();
    this.#post({ type: 'handoverPrepared' });
  }

  /** Null: the drain has begun; else why it is refused. */
  #drain(force: boolean): string | null {
    const refusal = force ? null : drainRefusal(this.#election, this.#report.backends);
    if (refusal === null) void this.#beginDrain(force);
    return refusal;
  }

  async #beginDrain(force: boolean): Promise<void> {
    const isActive = this.#election.routers.some(({ state }) => state === 'Active');
    if (isActive) await this.#started?.takeover.prepareHandover();
    this.#post({ type: 'drain', force });
  }

  #onElection(latest: ElectionSnapshot): void {
    const before = this.#election;
    this.#election = latest;
    if (this.#started === null) return;
    const { takeover, checker } = this.#started;
    // Whether this node is better off than an Active of class C has to be found out after its fall.
    if (hearsWorseOff(latest) && !hearsWorseOff(before)) checker.checkNow();
    if (latest.interface !== null) takeover.useInterface(latest.interface);
    for (const { vip, state } of latest.routers) takeover.setActive(vip, state === 'Active');
    const hasLeft = latest.stopping && latest.routers.every(({ state }) => state === 'Initialize');
    if (hasLeft) takeover.stopSheltering();
  }

  #onReport(latest: HealthReport): void {
    for (const [index, { lastCheck }] of latest.backends.entries())
      if (lastCheck?.ok === true) this.#proxyCounters.prove(index, lastCheck.atMs);
    this.#healthLog.report(latest, this.#report);
    this.#report = latest;
    const backends = this.#backendStates.after(latest.backends);
    if (backends !== null) this.#tellProxy({ type: 'backends', backends });
    this.#restartIfOutdated(latest);
    // Without a listener this node has nothing to serve, however healthy its API server is.
    const healthClass = this.#proxyCounters.listeners < this.#data.config.proxy.workers ? 'C' : latest.class;
    if (latest.settled)
      this.#post({ type: 'health', class: healthClass, confirmedAtMs: latest.confirmedAtMs });
  }

  /**
   * A container's mount of a file goes on showing the file that was there at its start. When another one has taken its
   * place on the node, and nothing can be verified by the old one, a new container is the only way to it. A rotation
   * reaches all nodes at once, so they do not restart at once: a Backup first, and the Active long after, when a node
   * that can verify again should have taken over from it.
   */
  #restartIfOutdated({ settled, class: healthClass, backends }: HealthReport): void {
    const [path] = this.#started?.credentialWatch.replaced ?? [];
    if (!settled || healthClass !== 'U' || path === undefined) {
      this.#outdatedSinceMs = null;
      return;
    }
    const nowMs = latestCheckMs(backends);
    this.#outdatedSinceMs ??= nowMs;
    const isActive = this.#election.routers.some(({ state }) => state === 'Active');
    const patienceMs = (isActive ? ACTIVE_RESTART_MS : RESTART_MS) + this.#restartDelayMs;
    if (this.#isRestarting || nowMs - this.#outdatedSinceMs < patienceMs) return;
    this.#isRestarting = true;
    const message = `${path} was replaced on the node, and no API server can be verified with the old file: a new container gets the new one`;
    this.#post({ type: 'restart', message });
  }

  #tellProxy(command: ProxyCommand): void {
    for (const port of this.#started?.proxyPorts ?? []) port.postMessage(command);
  }

  #onProxy(worker: number, port: MessagePort, event: ProxyEvent): void {
    if (event.type === 'log') this.#log(event.level, event.message, event.fields);
    else if (event.type === 'connections') {
      this.#connections.apply(worker, event.batch);
      port.postMessage({ type: 'connectionsRead' } satisfies ProxyCommand);
    } else if (event.type === 'connectionList') this.#connectionLists.take(event);
  }

  #onOpened(connection: OpenedConnection): void {
    this.#started?.takeover.opened(connection);
    if (this.#logLevel !== 'debug') return;
    const { client, clientPort, local, backend } = connection;
    const fields = { client, clientPort, local, backend };
    this.#log('debug', `client ${client}:${clientPort} goes to ${backend}`, fields);
  }

  #onClosed(connection: OpenedConnection, closed: ClosedConnection | null): void {
    this.#started?.takeover.closed(connection);
    if (this.#logLevel !== 'debug') return;
    const { client, clientPort, local, backend, openedAtMs } = connection;
    const durationMs = Math.round(monotonicMs() - openedAtMs);
    const ending = closed?.ending ?? 'unknown';
    this.#log('debug', `client ${client}:${clientPort} left ${backend} after ${durationMs} ms: ${ending}`, {
      event: 'connection',
      ending,
      client,
      clientPort,
      local,
      backend,
      durationMs,
      bytesToBackend: closed?.bytesToBackend ?? null,
      bytesToClient: closed?.bytesToClient ?? null,
    });
  }

  #reload(logLevel: LogLevel, text: string): void {
    this.#logLevel = logLevel;
    this.#parts.sink.setLevel(logLevel);
    const certificates = this.#started?.credentialWatch.lookAgain() ?? 'no certificates are in use yet';
    this.#answer(`SIGHUP: ${text}; ${certificates}`, { event: 'reload' });
  }

  #logState(): void {
    const { message, fields } = stateLine(buildStatus(this.#observe()));
    this.#answer(message, fields);
  }

  /** What a signal has asked for is written at any log level. */
  #answer(message: string, fields: LogFields): void {
    this.#log(this.#logLevel === 'debug' ? 'info' : this.#logLevel, message, fields);
  }

  #observe(): Observation {
    const { version } = this.#data;
    const { backends, settled } = this.#report;
    const healthClass = this.#election.impediment === null ? this.#report.class : 'C';
    return {
      version,
      election: this.#election,
      healthClass,
      settled,
      backends,
      certificates: this.#started?.credentialWatch.expiries() ?? [],
      proxy: this.#proxyCounters.read(backends.length),
      takeover: this.#started?.takeover.read() ?? null,
      logRecordsDropped: this.#parts.sink.dropped(),
      threads: this.#readThreads(),
    };
  }

  #readThreads(): Record<string, ThreadVitals> {
    const read = (thread: number): ThreadVitals => readThreadVitals(this.#data.vitals, thread);
    // Proxy threads exist once there are backends to proxy to.
    const proxies = (this.#started?.proxyPorts ?? []).map(
      (_, index) => [`proxy${index}`, read(THREAD_PROXY + index)] as const,
    );
    return {
      election: read(THREAD_ELECTION),
      services: read(THREAD_SERVICES),
      network: read(THREAD_NETWORK),
      ...Object.fromEntries(proxies),
    };
  }
}

/**
 * Whether the Active that a router hears may have nothing to serve, which a node that is better off takes over from.
 */
function hearsWorseOff({ routers }: ElectionSnapshot): boolean {
  return routers.some(({ active }) => active !== null && WORSE_OFF.has(classOfPriority(active.priority)));
}

const WORSE_OFF: ReadonlySet<HealthClass> = new Set(['U', 'C']);
