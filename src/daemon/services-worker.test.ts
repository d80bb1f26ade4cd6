import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { Config } from '../config/config.ts';
import type { BackendHealth } from '../health/backend.ts';
import type { Credentials } from '../health/credentials.ts';
import type { HealthReport, HealthCheckerOptions } from '../health/driver/checker.ts';
import type { CredentialWatchOptions } from '../health/driver/credential-watch.ts';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { createProxyCounters, ProxyCounters } from '../proxy/counters.ts';
import type { ProxyEvent } from '../proxy/driver/messages.ts';
import { createThreadVitals, THREAD_PROXY } from '../runtime/thread-vitals.ts';
import { until } from '../testing/until.ts';
import type { RouterSnapshot } from '../vrrp/driver/router.ts';
import type { AdminOptions } from './admin.ts';
import type { ElectionSnapshot, FromServices, LogRecord } from './messages.ts';
import { Obstacle } from './obstacle.ts';
import { ServicesWorker } from './services-worker.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const [SELF, PEER, VIP] = [ip('10.0.0.1'), ip('10.0.0.2'), ip('10.0.0.100')];
const CREDENTIALS = { ca: { pem: 'ca' }, client: null } as unknown as Credentials;
const CONFIG = {
  vips: [VIP],
  peers: [SELF, PEER, ip('2001:db8::1')],
  vrrp: { vrid: 51 },
  proxy: { port: 36_443, workers: 1 },
  health: { path: '/healthz' },
  admin: { listen: null, socket: null },
  log: { level: 'debug', format: 'json' },
} as unknown as Config;
const BACKENDS = [SELF, PEER].map((address) => ({ address, port: 6443, local: address === SELF }));

const healthOf = (address: IpAddress, changes: Partial<BackendHealth> = {}): BackendHealth => ({
  id: `${address.text}:6443`,
  address,
  port: 6443,
  local: address === SELF,
  state: 'up',
  sinceMs: 0,
  misconfigured: false,
  unverified: false,
  withheld: null,
  lastCheck: { ok: true, detail: '200', durationMs: 3, atMs: 7 },
  ...changes,
});

const snapshotOf = (
  state: RouterSnapshot['state'],
  changes: Partial<ElectionSnapshot> = {},
): ElectionSnapshot => ({
  waitingFor: null,
  waitReason: null,
  impediment: null,
  interface: 'eth0',
  stopping: false,
  drained: false,
  routers: [{ vip: VIP.text, state, active: null } as RouterSnapshot],
  ...changes,
});

/** A services thread without sockets, clock or files; `did` has what it asked its parts to do, in order. */
function openWorker(context: TestContext, listen: () => Promise<void> = async () => undefined) {
  const did: string[] = [];
  const posted: FromServices[] = [];
  const records: LogRecord[] = [];
  const counters = createProxyCounters();
  new ProxyCounters(counters).addListeners(1);
  const given: {
    admin?: AdminOptions;
    checker?: HealthCheckerOptions;
    watch?: CredentialWatchOptions;
    peers?: string[];
    replaced?: string[];
  } = {};
  const note = (what: string) => async (): Promise<void> => {
    did.push(what);
  };
  const worker = new ServicesWorker(
    {
      config: CONFIG,
      version: '1.2.3',
      vitals: createThreadVitals(THREAD_PROXY + 1),
      proxyCounters: counters,
      handled: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
    },
    {
      sink: {
        write: (record) => records.push(record),
        setLevel: (level) => did.push(`log level ${level}`),
        flush: async () => undefined,
        dropped: () => 3,
      },
      lock: { take: note('locked'), release: note('unlocked') },
      admin: (options) => {
        given.admin = options;
        return { listen, listenForControl: note('control socket opened'), close: note('admin closed') };
      },
      takeover: ({ peers }) => {
        given.peers = peers.map(({ text }) => text);
        return {
          opened: ({ client }) => did.push(`opened ${client}`),
          closed: ({ client }) => did.push(`closed ${client}`),
          setActive: (vip, isActive) => did.push(`${vip} ${isActive ? 'active' : 'not active'}`),
          useInterface: (name) => did.push(`on ${name}`),
          prepareHandover: note('handover prepared'),
          stopSheltering: () => did.push('sheltering stopped'),
          read: () => {
            throw new Error('not asked for here');
          },
          close: () => did.push('takeover closed'),
        };
      },
      checker: (options) => {
        given.checker = options;
        return {
          start: () => did.push('checks started'),
          useCredentials: () => did.push('credentials changed'),
          checkNow: () => did.push('checked at once'),
          stop: note('checks stopped'),
        };
      },
      credentialWatch: (options) => {
        given.watch = options;
        return {
          start: () => did.push('watch started'),
          lookAgain: () => 'the certificates have not changed',
          get replaced() {
            return given.replaced ?? [];
          },
          expiries: () => [{ certificate: 'ca', expiryMs: 1 }],
          stop: note('watch stopped'),
        };
      },
    },
    (message) => posted.push(message),
  );
  const { port1: proxy, port2: proxyPort } = new MessageChannel();
  const received: unknown[] = [];
  proxy.on('message', (message) => received.push(message));
  context.after(() => {
    proxy.close();
    proxyPort.close();
  });
  const start = (): void =>
    worker.receive({
      type: 'start',
      self: SELF,
      interfaceName: 'eth0',
      backends: BACKENDS,
      credentials: CREDENTIALS,
      proxyPorts: [proxyPort],
    });
  const report = (backends: readonly BackendHealth[], settled = true): void =>
    given.checker?.onReport({ backends, settled, class: settled ? 'A' : 'C', confirmedAtMs: 7 });
  return { worker, did, posted, records, counters, given, proxy, received, start, report };
}

test('it is ready once the admin endpoint listens, and what is in the way until then is logged', async (context) => {
  let tries = 0;
  const listen = async (): Promise<void> => {
    tries += 1;
    if (tries === 1) throw new Obstacle('another one has the port');
  };
  const { worker, posted, records, did } = openWorker(context, listen);
  await worker.listen();
  assert.deepEqual(did, ['locked', 'control socket opened']);
  assert.deepEqual(posted, [{ type: 'ready' }]);
  assert.equal(records[0]?.message, 'waiting for the admin endpoint: another one has the port');
});

test('an admin endpoint that can never listen is a failure, unless the thread is being stopped', async (context) => {
  const { worker, posted } = openWorker(context, () => Promise.reject(new Error('no such path')));
  await worker.listen();
  assert.deepEqual(posted, [{ type: 'failed', message: 'no such path' }]);
  await worker.close();
  await worker.listen();
  assert.equal(posted.length, 1);
});

test('the start begins the checks and the takeover with the peers of its own family', (context) => {
  const { did, given, start } = openWorker(context);
  start();
  assert.deepEqual(did, ['checks started', 'watch started']);
  assert.deepEqual(given.peers, [PEER.text]);
  given.watch?.onChange(CREDENTIALS);
  assert.equal(did.at(-1), 'credentials changed');
});

test('a report goes to the election once all API servers are checked, and to the proxy when a state changes', async (context) => {
  const { posted, received, counters, start, report } = openWorker(context);
  start();
  report([healthOf(SELF), healthOf(PEER, { state: 'unknown', lastCheck: null })], false);
  report([healthOf(SELF), healthOf(PEER)]);
  report([healthOf(SELF), healthOf(PEER)]);
  assert.deepEqual(posted, [
    { type: 'health', class: 'A', confirmedAtMs: 7 },
    { type: 'health', class: 'A', confirmedAtMs: 7 },
  ]);
  await until(() => received.length === 2, 'the proxy to have both changes');
  const states = received.map((message) =>
    (message as { backends: { state: string }[] }).backends.map(({ state }) => state),
  );
  assert.deepEqual(states, [
    ['up', 'unknown'],
    ['up', 'up'],
  ]);
  const view = new ProxyCounters(counters);
  view.suspect(0, 6);
  assert.equal(view.isSuspect(0), false, 'a good check that began later has proved it');
});

test('without a listener the node has nothing to serve, however healthy its API server is', (context) => {
  const { posted, counters, start, report } = openWorker(context);
  start();
  new ProxyCounters(counters).addListeners(-1);
  report([healthOf(SELF)]);
  assert.deepEqual(posted, [{ type: 'health', class: 'C', confirmedAtMs: 7 }]);
});

test('a change of the election reaches the takeover, and its end only once all routers have left', (context) => {
  const { worker, did, start } = openWorker(context);
  worker.receive({ type: 'election', snapshot: snapshotOf('Backup') });
  assert.deepEqual(did, [], 'there is no takeover before the start');
  start();
  did.length = 0;
  worker.receive({ type: 'election', snapshot: snapshotOf('Active', { interface: 'eth1' }) });
  worker.receive({ type: 'election', snapshot: snapshotOf('Active', { stopping: true }) });
  assert.deepEqual(did, ['on eth1', `${VIP.text} active`, 'on eth0', `${VIP.text} active`]);
  worker.receive({ type: 'election', snapshot: snapshotOf('Initialize', { stopping: true }) });
  assert.deepEqual(did.slice(-2), [`${VIP.text} not active`, 'sheltering stopped']);
});

test('a drain of the holder prepares its peers first, and is refused while none could take over', async (context) => {
  const { worker, did, posted, given, start, report } = openWorker(context);
  start();
  worker.receive({ type: 'election', snapshot: snapshotOf('Active') });
  report([healthOf(SELF), healthOf(PEER, { state: 'down' })]);
  did.length = 0;
  posted.length = 0;
  assert.match(given.admin?.drain(false) ?? '', /^no other node is healthy \(10\.0\.0\.2:6443 down\)/);
  assert.deepEqual([did, posted], [[], []]);
  report([healthOf(SELF), healthOf(PEER)]);
  posted.length = 0;
  assert.equal(given.admin?.drain(false), null);
  await until(() => posted.length > 0, 'the drain to begin');
  assert.deepEqual([did, posted], [['handover prepared'], [{ type: 'drain', force: false }]]);
});

test('a forced drain is not refused, and one of a Backup needs no preparation', async (context) => {
  const { worker, did, posted, given, start } = openWorker(context);
  start();
  worker.receive({ type: 'election', snapshot: snapshotOf('Backup') });
  did.length = 0;
  assert.equal(given.admin?.drain(true), null);
  await until(() => posted.length > 0, 'the drain to begin');
  assert.deepEqual([did, posted], [[], [{ type: 'drain', force: true }]]);
});

test('the main thread gets its answer when the peers are prepared, and before the start, too', async (context) => {
  const { worker, posted, start } = openWorker(context);
  worker.receive({ type: 'prepareHandover' });
  await until(() => posted.length === 1, 'the answer before the start');
  start();
  worker.receive({ type: 'prepareHandover' });
  await until(() => posted.length === 2, 'the answer after it');
});

test('connections of the proxy reach the takeover, and each batch is acknowledged', async (context) => {
  const { did, records, proxy, received, start } = openWorker(context);
  start();
  const opened = {
    id: 1,
    client: '10.0.0.9',
    clientPort: 4000,
    local: VIP.text,
    backend: '10.0.0.1:6443',
    openedAtMs: 0,
  };
  const closed = { id: 1, ending: 'client_reset', bytesToBackend: 5, bytesToClient: 6 } as const;
  const batches: ProxyEvent[] = [
    { type: 'connections', batch: { complete: false, opened: [opened], closed: [] } },
    { type: 'connections', batch: { complete: false, opened: [], closed: [closed] } },
  ];
  for (const batch of batches) proxy.postMessage(batch);
  await until(() => received.length === 2, 'both batches to be acknowledged');
  assert.deepEqual(did.slice(-2), ['opened 10.0.0.9', 'closed 10.0.0.9']);
  assert.equal(records.at(-2)?.message, 'client 10.0.0.9:4000 goes to 10.0.0.1:6443');
  assert.deepEqual(received, [{ type: 'connectionsRead' }, { type: 'connectionsRead' }]);
  assert.equal(records.at(-1)?.fields['bytesToClient'], 6);
  assert.match(records.at(-1)?.message ?? '', /: client_reset$/);
});

test('SIGHUP changes the log level and is answered in one line, with what the certificates brought', (context) => {
  const { worker, did, records, start } = openWorker(context);
  worker.receive({ type: 'reload', logLevel: 'error', text: 'log.level is error now' });
  start();
  worker.receive({ type: 'reload', logLevel: 'info', text: 'log.level is info now' });
  assert.deepEqual(
    did.filter((what) => what.startsWith('log level')),
    ['log level error', 'log level info'],
  );
  assert.deepEqual(
    records.map(({ level, message }) => `${level} ${message}`),
    [
      'error SIGHUP: log.level is error now; no certificates are in use yet',
      'info SIGHUP: log.level is info now; the certificates have not changed',
    ],
  );
});

test('it ends in order: takeover, checks, admin endpoint, and the ports to the proxy', async (context) => {
  const { worker, did, proxy, start } = openWorker(context);
  start();
  did.length = 0;
  const closed = once(proxy, 'close');
  await worker.close();
  await closed;
  assert.deepEqual(did, ['takeover closed', 'watch stopped', 'checks stopped', 'admin closed', 'unlocked']);
});

test('an Active that falls to class C is answered by a check at once, and by one only', (context) => {
  const { worker, did, start } = openWorker(context);
  start();
  const hearing = (priority: number): void => {
    const router = { vip: VIP.text, state: 'Backup', active: { address: '10.0.0.2', priority } };
    worker.receive({
      type: 'election',
      snapshot: snapshotOf('Backup', { routers: [router as RouterSnapshot] }),
    });
  };
  for (const priority of [254, 62, 62, 254, 62]) hearing(priority);
  assert.deepEqual(did.filter((what) => what === 'checked at once').length, 2);
});

test('a file that was replaced on the node is reason to restart once nothing can be verified with the old one', (context) => {
  const { worker, posted, given, start } = openWorker(context);
  start();
  const restarts = (): number => posted.filter(({ type }) => type === 'restart').length;
  const report = (healthClass: HealthReport['class'], seconds: number): void => {
    const lastCheck = { ok: false, detail: 'certificate is not signed', durationMs: 3, atMs: 1000 * seconds };
    given.checker?.onReport({
      backends: [healthOf(SELF, { lastCheck })],
      settled: true,
      class: healthClass,
      confirmedAtMs: 7,
    });
  };
  worker.receive({ type: 'election', snapshot: snapshotOf('Backup') });
  for (let seconds = 0; seconds <= 100; seconds += 1) report('U', seconds);
  given.replaced = ['/etc/kubernetes/pki/ca.crt'];
  for (let seconds = 100; seconds <= 200; seconds += 1) report('A', seconds);
  for (let seconds = 200; seconds <= 214; seconds += 1) report('U', seconds);
  assert.equal(restarts(), 0, 'not all nodes at once');
  for (let seconds = 215; seconds <= 276; seconds += 1) report('U', seconds);
  assert.equal(restarts(), 1);
});

test('a node that has the VIP leaves the others the time to take it over before it restarts', (context) => {
  const { worker, posted, given, start } = openWorker(context);
  start();
  given.replaced = ['/etc/kubernetes/pki/ca.crt'];
  worker.receive({ type: 'election', snapshot: snapshotOf('Active') });
  const restarts = (seconds: number): number => {
    const lastCheck = { ok: false, detail: 'certificate is not signed', durationMs: 3, atMs: 1000 * seconds };
    given.checker?.onReport({
      backends: [healthOf(SELF, { lastCheck })],
      settled: true,
      class: 'U',
      confirmedAtMs: 7,
    });
    return posted.filter(({ type }) => type === 'restart').length;
  };
  for (let seconds = 0; seconds < 180; seconds += 1) assert.equal(restarts(seconds), 0);
  assert.equal(restarts(241), 1);
});
