/** Entry of the services thread: health checks, log, admin endpoint and metrics. Nothing here is on a packet's way. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Abandonment } from '../health/abandon.ts';
import type { BackendHealth, BackendState } from '../health/backend.ts';
import { HealthChecker, type HealthReport } from '../health/driver/checker.ts';
import { CredentialWatch } from '../health/driver/credential-watch.ts';
import { errorText } from '../log/error-text.ts';
import type { LogFields, LogLevel } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import { returnFreedMemory } from '../runtime/process.ts';
import {
  THREAD_ELECTION,
  THREAD_PROXY,
  THREAD_SERVICES,
  beat,
  readThreadVitals,
} from '../runtime/thread-vitals.ts';
import { type ClosedConnection, ConnectionTable, type OpenedConnection } from '../proxy/connections.ts';
import { ProxyCounters } from '../proxy/counters.ts';
import type { ProxyCommand, ProxyEvent } from '../proxy/driver/messages.ts';
import type { ProxyBackend } from '../proxy/upstream.ts';
import { Takeover } from '../takeover/driver/takeover.ts';
import { Admin } from './admin.ts';
import { ConnectionLists } from './connection-lists.ts';
import { openLog } from './logger.ts';
import type { ElectionSnapshot, FromServices, ServicesWorkerData, ToServices } from './messages.ts';
import { logObstacle, untilDone } from './obstacle.ts';
import type { Observation } from './status.ts';

const data = workerData as ServicesWorkerData;
const { config } = data;
const main = parentPort;
if (main === null) throw new Error('the services thread was started outside the daemon');

type Started = Extract<ToServices, { type: 'start' }>;

const tell = (message: FromServices): void => main.postMessage(message);
const sink = openLog(config.log);
const handled = new Int32Array(data.handled);
const proxyCounters = new ProxyCounters(data.proxyCounters);
let election: ElectionSnapshot = {
  waitingFor: 'the daemon to start',
  interface: null,
  stopping: false,
  routers: [],
};
let report: HealthReport = { backends: [], settled: false, class: 'C', confirmedAtMs: 0 };
let checker: HealthChecker | null = null;
let credentialWatch: CredentialWatch | null = null;
let proxyPorts: readonly MessagePort[] = [];
const abandonment = new Abandonment();
const stopping = new AbortController();
let toldStates = '';
let takeover: Takeover | null = null;
const connectionLists = new ConnectionLists();
const connections = new ConnectionTable({
  opened: (connection) => takeover?.opened(connection),
  closed: (connection, closed) => {
    takeover?.closed(connection);
    if (config.log.level === 'debug') logConnection(connection, closed);
  },
});

function log(level: LogLevel, message: string, fields: LogFields = {}): void {
  sink.write({ level, message, fields, timeMs: Date.now() });
}

function logConnection(connection: OpenedConnection, closed: ClosedConnection | null): void {
  const { client, clientPort, local, backend, openedAtMs } = connection;
  const durationMs = Math.round(monotonicMs() - openedAtMs);
  log('debug', `client ${client}:${clientPort} left ${backend} after ${durationMs} ms`, {
    event: 'connection',
    client,
    clientPort,
    local,
    backend,
    durationMs,
    bytesToBackend: closed?.bytesToBackend ?? null,
    bytesToClient: closed?.bytesToClient ?? null,
  });
}

const stopBeat = beat(data.vitals, THREAD_SERVICES);
/** Starting leaves some 10 MiB of freed memory, and each burst of clients or requests some more. */
const TRIM_MS = 15_000;
const trimming = setInterval(returnFreedMemory, TRIM_MS);

function observe(): Observation {
  const proxyThreads = Array.from({ length: config.proxy.workers }, (_, index) => index);
  return {
    version: data.version,
    election,
    healthClass: report.class,
    settled: report.settled,
    backends: report.backends,
    certificates: credentialWatch?.expiries() ?? [],
    proxy: proxyCounters.read(report.backends.length),
    takeover: takeover?.read() ?? null,
    logRecordsDropped: sink.dropped(),
    threads: {
      election: readThreadVitals(data.vitals, THREAD_ELECTION),
      services: readThreadVitals(data.vitals, THREAD_SERVICES),
      ...Object.fromEntries(
        // Proxy threads exist once there are backends to proxy to.
        (proxyPorts.length === 0 ? [] : proxyThreads).map((index) => [
          `proxy${index}`,
          readThreadVitals(data.vitals, THREAD_PROXY + index),
        ]),
      ),
    },
  };
}

/** Only somebody with a healthy API server of their own takes over. */
function refuseDrain(): string | null {
  const holds = election.routers.some((router) => router.state === 'Active');
  const others = report.backends.filter((backend) => !backend.local);
  if (!holds || others.some((backend) => backend.state === 'up')) return null;
  return `no other node is healthy (${others.map((backend) => `${backend.id} ${backend.state}`).join(', ') || 'there is none'}), so nobody would take over: use --force to drain all the same`;
}

async function drain(force: boolean): Promise<void> {
  if (election.routers.some(({ state }) => state === 'Active')) await takeover?.prepareHandover();
  tell({ type: 'drain', force });
}

const admin = new Admin({
  ...config.admin,
  observe,
  drain: (force) => {
    const refusal = force ? null : refuseDrain();
    if (refusal === null) void drain(force);
    return refusal;
  },
  undrain: () => tell({ type: 'undrain' }),
  connections: () => connectionLists.ask(proxyPorts),
  log,
});

function start({ self, interfaceName, backends, credentials, proxyPorts: ports }: Started): void {
  proxyPorts = ports;
  takeover = new Takeover({
    self,
    peers: config.peers.filter(({ family, text }) => family === self.family && text !== self.text),
    vrid: config.vrrp.vrid,
    port: config.proxy.port,
    vips: config.vips,
    interfaceName,
    listeners: config.proxy.workers,
    log,
  });
  for (const [worker, port] of ports.entries()) {
    port.on('message', (event: ProxyEvent) => onProxy(worker, port, event));
  }
  const checks = new HealthChecker({ ...config.health, backends, credentials, onReport, onTransition });
  checker = checks;
  checks.start();
  credentialWatch = new CredentialWatch({
    paths: config.health,
    credentials,
    log,
    onChange: (changed) => checks.useCredentials(changed),
  });
  credentialWatch.start();
}

async function prepareHandover(): Promise<void> {
  await takeover?.prepareHandover();
  tell({ type: 'handoverPrepared' });
}

function onProxy(worker: number, port: MessagePort, event: ProxyEvent): void {
  if (event.type === 'log') log(event.level, event.message, event.fields);
  else if (event.type === 'connections') {
    connections.apply(worker, event.batch);
    port.postMessage({ type: 'connectionsRead' } satisfies ProxyCommand);
  } else if (event.type === 'connectionList') connectionLists.take(event);
}

function onElection(latest: ElectionSnapshot): void {
  election = latest;
  if (latest.interface !== null) takeover?.useInterface(latest.interface);
  for (const { vip, state } of latest.routers) takeover?.setActive(vip, state === 'Active');
  const hasLeft = latest.stopping && latest.routers.every(({ state }) => state === 'Initialize');
  if (hasLeft) takeover?.stopSheltering();
}

function onReport(latest: HealthReport): void {
  const wasClass = report.class;
  const wasSettled = report.settled;
  for (const [index, backend] of latest.backends.entries()) {
    if (backend.lastCheck?.ok === true) proxyCounters.prove(index, backend.lastCheck.atMs);
    if (backend.misconfigured && report.backends[index]?.misconfigured !== true) warnMisconfigured(backend);
    if (backend.withheld !== (report.backends[index]?.withheld ?? null)) logWithheld(backend);
  }
  report = latest;
  tellProxy(latest.backends);
  if (!latest.settled) return;
  tell({ type: 'health', class: latest.class, confirmedAtMs: latest.confirmedAtMs });
  if (wasSettled && wasClass === latest.class) return;
  log(latest.class === 'C' ? 'warn' : 'info', `health class ${latest.class}: ${CLASS_TEXT[latest.class]}`, {
    event: 'class',
    class: latest.class,
  });
}

const CLASS_TEXT = {
  A: 'the local API server is healthy',
  B: 'only API servers of peers are healthy',
  C: 'no API server is healthy; this node does not take the VIP, but keeps it if it has it',
} as const;

function onTransition(backend: BackendHealth, previous: BackendState): void {
  const detail = backend.lastCheck?.detail ?? '';
  const level = backend.state === 'down' ? 'warn' : 'info';
  const fields = {
    event: 'backend',
    backend: backend.id,
    from: previous,
    to: backend.state,
    local: backend.local,
  };
  log(level, `API server ${backend.id} ${previous} -> ${backend.state}: ${detail}`, fields);
}

function warnMisconfigured(backend: BackendHealth): void {
  const text = `API server ${backend.id} lives but refuses the check (${backend.lastCheck?.detail}): let anonymous users read ${config.health.path}, or set health.path to what they may read`;
  log('warn', text, { event: 'misconfigured', backend: backend.id });
}

function logWithheld({ id, withheld, lastCheck }: BackendHealth): void {
  const what = withheld === 'notReady' ? 'is not ready' : 'does not last';
  const text =
    withheld === null
      ? `API server ${id} gets new clients again`
      : `API server ${id} ${what} (${lastCheck?.detail}): it gets no new clients while another can, and keeps those it has`;
  log('info', text, { event: 'withheld', backend: id, withheld });
}

/** The proxy needs to know who is up, and who is given up, not when each was checked. */
function tellProxy(backends: readonly BackendHealth[]): void {
  const abandoned = abandonment.after(backends);
  const states = backends.map((backend) => proxyState(backend, abandoned.has(backend.id)));
  if (states.join(' ') === toldStates) return;
  toldStates = states.join(' ');
  const command: ProxyCommand = {
    type: 'backends',
    backends: backends.map(({ id, address, port, local }, index) => ({
      id,
      host: address.text,
      port,
      local,
      state: states[index] ?? 'unknown',
    })),
  };
  for (const port of proxyPorts) port.postMessage(command);
}

function proxyState(backend: BackendHealth, isAbandoned: boolean): ProxyBackend['state'] {
  if (backend.state === 'up' && backend.withheld !== null) return 'draining';
  return backend.state === 'down' && !isAbandoned ? 'failing' : backend.state;
}

async function stop(): Promise<void> {
  stopping.abort();
  takeover?.close();
  await credentialWatch?.stop();
  await checker?.stop();
  await admin.close();
  for (const port of proxyPorts) port.close();
  stopBeat();
  clearInterval(trimming);
  await sink.flush();
  tell({ type: 'stopped' });
  main?.close();
}

main.on('message', (message: ToServices) => {
  Atomics.add(handled, 0, 1);
  switch (message.type) {
    case 'log':
      sink.write(message.record);
      break;
    case 'start':
      start(message);
      break;
    case 'prepareHandover':
      void prepareHandover();
      break;
    case 'election':
      onElection(message.snapshot);
      break;
    case 'stop':
      void stop();
      break;
  }
});

try {
  // Before anything else, so that there are never two kube-vrrps at work: an old kubelet starts a pod while the one that
  // it replaces still hands over.
  await untilDone(() => admin.listen(), {
    signal: stopping.signal,
    onObstacle: (text) => logObstacle(log, 'the admin endpoint', text),
  });
  tell({ type: 'ready' });
} catch (error) {
  if (!stopping.signal.aborted) tell({ type: 'failed', message: errorText(error) });
}
