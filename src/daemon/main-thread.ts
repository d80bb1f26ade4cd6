/**
 * The composition root: starts every thread, connects them, and stops them in the right order. This thread itself runs
 * the election and nothing else, so that no client, check, log line or scrape can delay an advertisement.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Config, backendPeers } from '../config/config.ts';
import type { Credentials } from '../health/credentials.ts';
import { outageGraceMs } from '../health/schedule.ts';
import { CredentialFileError, readCredentials } from '../health/driver/credential-files.ts';
import { formatHostPort, type IpAddress } from '../ip/address.ts';
import { errorText } from '../log/error-text.ts';
import { LogLimit } from '../log/log-limit.ts';
import type { Log } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import {
  type Capability,
  hasCapability,
  ignoreRealTimeSignals,
  raisePriority,
  unblockSigusr1,
} from '../runtime/process.ts';
import { THREAD_ELECTION, THREAD_PROXY, beat, createThreadVitals } from '../runtime/thread-vitals.ts';
import { createAdmissionMemory } from '../proxy/admission.ts';
import { createProxyCounters, ProxyCounters } from '../proxy/counters.ts';
import { Election } from './election.ts';
import type { BackendAddress, ElectionSnapshot, FromServices } from './messages.ts';
import { Network } from './network/network.ts';
import type { Place } from './network/view.ts';
import { logObstacle, Obstacle, type Waiting, untilDone } from './obstacle.ts';
import { clientsByMemory } from '../proxy/driver/memory-limit.ts';
import { clientsByOpenFiles } from '../proxy/driver/open-files.ts';
import { proxyLimits } from './proxy-limits.ts';
import { ProxyThreads } from './proxy-threads.ts';
import { Supervisor } from './supervisor.ts';
import { reloadOf, type Reread } from './reload.ts';
import { Services } from './services.ts';
import { handleSignals } from './signals.ts';
import { VERSION } from './version.ts';
import { WAIT_SUBJECTS, type WaitReason } from './waits.ts';

/** A mistake of the user or a lack of the machine, told in one sentence; the daemon does not start. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

const NEEDED: readonly (readonly [Capability, string])[] = [
  ['NET_RAW', 'to send and receive VRRP'],
  ['NET_ADMIN', 'to add the VIP to an interface'],
];

const CONNECT_TIMEOUT_MS = 2000;
const SNAPSHOT_MS = 1000;
const MAX_SEED = 2 ** 31;
/** For the step of the start that is under way when the daemon is to stop: threads that begin to listen, at most. */
const START_MS = 3000;
/** Clients of the node's own address may finish what they carry; the rest of kubelet's 30 s is for the handover. */
const PROXY_GRACE_MS = 5000;
/** Exceptions during the stop are a line each minute. */
const LOG_PERIOD_MS = 60_000;
const SCHEDULING_TEXT = {
  raised: 'raised priority (nice -10)',
  normal: 'normal priority: CAP_SYS_NICE is missing, so a fully loaded node may delay advertisements',
} as const;

/**
 * Runs until a signal or a failure, and resolves to the exit code: 0 after a clean stop, 1 after a failure that was
 * logged. At SIGHUP it asks `reread` for the configuration. Rejects with StartError when it cannot start.
 */
export async function runDaemon(config: Config, reread: () => Promise<Reread>): Promise<number> {
  for (const [capability, purpose] of NEEDED) {
    if (hasCapability(capability)) continue;
    throw new StartError(
      `CAP_${capability} is missing, which is needed ${purpose}: run as root, or add ${capability} to the container's capabilities`,
    );
  }
  const daemon = new Daemon(config, reread);
  try {
    return await daemon.run();
  } finally {
    await daemon.close();
  }
}

type End = { readonly code: 0 | 1; readonly text: string };

class Daemon {
  readonly #config: Config;
  readonly #reread: () => Promise<Reread>;
  #isReloading = false;
  readonly #vitals: SharedArrayBuffer;
  readonly #counters = createProxyCounters();
  readonly #proxyCounters = new ProxyCounters(this.#counters);
  readonly #services: Services;
  readonly #log: Log;
  readonly #servicesReady: Promise<void>;
  readonly #end: Promise<End>;
  #finish: (end: End) => void = () => undefined;
  #network: Network | null = null;
  #election: Election | null = null;
  #proxy: ProxyThreads | null = null;
  #supervisor: Supervisor | null = null;
  /** What was asked for before there was an election. */
  #isDrainWanted = false;
  #waitingFor: string | null = WAIT_SUBJECTS.start;
  #waitReason: WaitReason | null = 'start';
  readonly #stopping = new AbortController();
  #onServicesReady: (error: Error | null) => void = () => undefined;
  #stopBeat: () => void = () => undefined;
  #hasException = false;
  readonly #exceptionLimit = new LogLimit(LOG_PERIOD_MS, 1);

  constructor(config: Config, reread: () => Promise<Reread>) {
    this.#config = config;
    this.#reread = reread;
    this.#vitals = createThreadVitals(THREAD_PROXY + config.proxy.workers);
    this.#end = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#servicesReady = new Promise((resolve, reject) => {
      this.#onServicesReady = (error) => (error === null ? resolve() : reject(error));
    });
    this.#services = new Services(
      {
        config,
        version: VERSION,
        vitals: this.#vitals,
        proxyCounters: this.#counters,
        handled: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
      },
      { onMessage: (message) => this.#onServices(message), onExit: (reason) => this.#fail(reason) },
    );
    this.#log = this.#services.log;
  }

  async run(): Promise<number> {
    handleSignals({
      stop: (signal) => this.#finish({ code: 0, text: signal }),
      logState: () => this.#services.logState(),
      reload: () => void this.#reload(),
      log: this.#log,
    });
    unblockSigusr1();
    ignoreRealTimeSignals();
    process.on('uncaughtException', (error) => this.#onException(error));
    await Promise.race([this.#servicesReady, this.#end]);
    const scheduling = raisePriority();
    this.#stopBeat = beat(this.#vitals, THREAD_ELECTION, () => this.#election?.works() ?? true);
    const snapshots = setInterval(() => this.#publish(), SNAPSHOT_MS);
    try {
      const starting = this.#start(scheduling);
      await Promise.race([starting, this.#end]);
      const end = await this.#end;
      await this.#abandonStart(starting);
      await this.#stop(end);
      return end.code;
    } finally {
      clearInterval(snapshots);
    }
  }

  /** Answers SIGHUP. A signal during a reload is answered by it. */
  async #reload(): Promise<void> {
    if (this.#isReloading) return;
    this.#isReloading = true;
    const { logLevel, text } = reloadOf(this.#config, await this.#reread());
    this.#services.reload(logLevel, text);
    this.#isReloading = false;
  }

  /** Whatever happened: no timer, socket or thread is left. */
  async close(): Promise<void> {
    this.#stopBeat();
    this.#supervisor?.stop();
    await this.#network?.stop();
    await this.#proxy?.stop(0);
    await this.#services.stop();
  }

  /** What a start that is under way is opening has to be there before it can be closed. */
  async #abandonStart(starting: Promise<void>): Promise<void> {
    this.#stopping.abort();
    await Promise.race([Promise.allSettled([starting]), delay(START_MS, undefined, { ref: false })]);
  }

  /** Rejects with an AbortError when the daemon is to stop meanwhile. */
  async #start(scheduling: keyof typeof SCHEDULING_TEXT): Promise<void> {
    const config = this.#config;
    const { signal } = this.#stopping;
    const network = await this.#openNetwork();
    signal.throwIfAborted();
    const credentials = await this.#untilDone('certificates', () => this.#readCredentials());
    const place = await this.#untilDone('network', () => findPlace(network), {
      changed: () => network.changed(),
    });
    const port = config.proxy.backendPort;
    const backends = backendPeers(config).map((address) => ({
      address,
      port,
      local: place.ownPeers.some(({ text }) => text === address.text),
    }));
    this.#proxy = await this.#untilDone('proxy_port', () => this.#startProxy(backends));
    signal.throwIfAborted();
    for (const text of place.warnings) this.#log('warn', text, { event: 'network' });
    this.#services.start(place, backends, credentials, this.#proxy.servicesPorts);
    this.#waitingFor = null;
    this.#waitReason = null;
    this.#startElection(network, place);
    this.#publish();
    this.#logReady(place, backends, scheduling);
  }

  async #openNetwork(): Promise<Network> {
    this.#network = await Network.open({
      config: this.#config,
      vitals: this.#vitals,
      log: this.#log,
      onView: (view) => this.#election?.show(view),
      onAddressGone: (linkIndex, address) => this.#election?.onAddressGone(linkIndex, address),
      onExit: (reason) => this.#fail(reason),
    });
    return this.#network;
  }

  #startElection(network: Network, place: Place): void {
    this.#election = new Election(
      {
        config: this.#config,
        log: this.#log,
        leaseCalls: network,
        closeVip: async (vip, handedOver) => this.#proxy?.closeVip(vip, handedOver),
        onChange: () => this.#publish(),
        onLost: (active) => this.#passOver(active),
      },
      place,
    );
    if (this.#isDrainWanted) this.#election.drain(false);
    network.begin(place);
    if (network.view !== null) this.#election.show(network.view);
    this.#supervisor = new Supervisor({
      vitals: this.#vitals,
      proxyThreads: this.#config.proxy.workers,
      maxHealthAgeMs: outageGraceMs(this.#config.health),
      log: this.#log,
      onHealth: (healthClass, confirmedAtMs) => this.#election?.setHealth(healthClass, confirmedAtMs),
      onDoom: (reason) => this.#fail(reason),
    });
  }

  #logReady(
    place: Place,
    backends: readonly BackendAddress[],
    scheduling: keyof typeof SCHEDULING_TEXT,
  ): void {
    const config = this.#config;
    const log = this.#log;
    const vips = config.vips.map((vip) => vip.text).join(' and ');
    const list = backends.map(({ address, port }) => formatHostPort(address, port)).join(', ');
    log(
      'info',
      `kube-vrrp ${VERSION} is up: VIP ${vips} on ${place.interfaceName}, port ${config.proxy.port} to ${list}`,
      {
        event: 'ready',
        interface: place.interfaceName,
        self: place.self.text,
        pid: process.pid,
      },
    );
    log(scheduling === 'normal' ? 'warn' : 'info', `the election runs at ${SCHEDULING_TEXT[scheduling]}`, {
      event: 'scheduling',
    });
  }

  /** Waits for what may yet come, and says what that is: to the log, to /status and to /readyz. */
  #untilDone<Result>(
    reason: WaitReason,
    attempt: () => Result | Promise<Result>,
    more: Pick<Waiting, 'changed'> = {},
  ): Promise<Result> {
    return untilDone(attempt, {
      ...more,
      signal: this.#stopping.signal,
      onObstacle: (text) => {
        this.#waitReason = text === null ? 'start' : reason;
        this.#waitingFor = text === null ? WAIT_SUBJECTS.start : `${WAIT_SUBJECTS[reason]}: ${text}`;
        logObstacle(this.#log, WAIT_SUBJECTS[reason], text);
        this.#publish();
      },
    });
  }

  #readCredentials(): Credentials {
    try {
      return readCredentials(this.#config.health);
    } catch (error) {
      if (error instanceof CredentialFileError) throw new Obstacle(error.message);
      throw error;
    }
  }

  /**
   * A lost node's API server has the fewest connections, so that each new client would wait for it. Until a check that
   * begins from now on is good, others come first.
   */
  #passOver(active: IpAddress): void {
    const index = backendPeers(this.#config).findIndex(({ text }) => text === active.text);
    if (index !== -1) this.#proxyCounters.suspect(index, monotonicMs());
  }

  async #startProxy(backends: readonly BackendAddress[]): Promise<ProxyThreads> {
    const config = this.#config;
    const { limits, warning } = proxyLimits(config.proxy, {
      byOpenFiles: clientsByOpenFiles(config.proxy.workers),
      byMemory: clientsByMemory(),
    });
    if (warning !== null) this.#log('warn', warning, { event: 'limits' });
    try {
      return await ProxyThreads.start({
        count: config.proxy.workers,
        data: {
          port: config.proxy.port,
          connectTimeoutMs: CONNECT_TIMEOUT_MS,
          backends: backends.map(({ address, port, local }) => ({
            id: formatHostPort(address, port),
            host: address.text,
            port,
            local,
            state: 'unknown',
          })),
          reusePort: config.proxy.workers > 1,
          limits,
          admission: createAdmissionMemory(limits, randomInt(MAX_SEED)),
          counters: this.#counters,
        },
        vitals: this.#vitals,
        log: this.#log,
        onExit: (reason) => this.#fail(reason),
      });
    } catch (error) {
      throw new Obstacle(errorText(error));
    }
  }

  #onServices(message: FromServices): void {
    switch (message.type) {
      case 'ready':
        this.#onServicesReady(null);
        break;
      case 'failed':
        this.#onServicesReady(new StartError(message.message));
        break;
      case 'health':
        this.#supervisor?.report(message.class, message.confirmedAtMs);
        break;
      case 'restart':
        this.#finish({ code: 0, text: message.message });
        break;
      case 'drain':
        this.#isDrainWanted = true;
        this.#election?.drain(message.force);
        this.#publish();
        break;
      case 'undrain':
        this.#isDrainWanted = false;
        this.#election?.undrain();
        this.#publish();
        break;
      case 'handoverPrepared':
      case 'stopped':
        break;
    }
  }

  /** Something that this process needs has died. Better gone, and started again by kubelet, than half alive. */
  #fail(reason: string): void {
    this.#onServicesReady(new StartError(reason));
    this.#log('error', `${reason}: giving up the VIP and stopping`, { event: 'failed' });
    this.#finish({ code: 1, text: reason });
  }

  /** The first one ends the daemon; one of the stop itself must not keep the VIP from being given up. */
  #onException(error: Error): void {
    const text = `internal error: ${error.stack ?? error.message}`;
    if (!this.#hasException) {
      this.#hasException = true;
      this.#fail(text);
      return;
    }
    const suppressed = this.#exceptionLimit.take('exception', monotonicMs());
    if (suppressed === null) return;
    this.#log('error', `${text}: the stop goes on`, { event: 'failed', suppressed });
  }

  /** The successor first, then the clients, then the rest. */
  async #stop(end: End): Promise<void> {
    this.#log('info', `stopping: ${end.text}`, { event: 'stopping' });
    this.#publish();
    const handover = end.code === 0;
    if (handover && this.#election?.isActive === true) await this.#services.prepareHandover();
    await this.#election?.stop(handover, end.text);
    this.#supervisor?.stop();
    this.#network?.end();
    this.#publish();
    await this.#proxy?.stop(handover ? PROXY_GRACE_MS : 0);
    this.#proxy = null;
    this.#log(end.code === 0 ? 'info' : 'error', `stopped: ${end.text}`, { event: 'stopped' });
  }

  #publish(): void {
    const snapshot: ElectionSnapshot = {
      waitingFor: this.#waitingFor,
      waitReason: this.#waitReason,
      impediment: this.#supervisor?.impediment ?? null,
      interface: this.#election?.interfaceName ?? this.#config.interface,
      stopping: this.#stopping.signal.aborted,
      drained: this.#election?.isDrained ?? this.#isDrainWanted,
      routers: this.#election?.snapshots() ?? [],
    };
    this.#services.election(snapshot);
  }
}

/** Where this node stands. Throws Obstacle while the configuration does not fit this host. */
function findPlace({ view }: Network): Place {
  if (view?.place === undefined || view.place === null)
    throw new Obstacle(view?.problems.join('; ') ?? 'unknown');
  return view.place;
}
