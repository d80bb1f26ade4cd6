import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import { type Ending, ENDINGS } from '../proxy/endings.ts';
import { createProxyCounters, ProxyCounters } from '../proxy/counters.ts';
import { createRouterCounters } from '../vrrp/driver/counters.ts';
import { createDurations, observeDuration } from '../vrrp/driver/durations.ts';
import type { RouterSnapshot } from '../vrrp/driver/router.ts';
import { Metrics } from './metrics.ts';
import { type Observation, buildStatus, livenessProblems, readinessProblems } from './status.ts';

const alive = { heartbeatAgeMs: 100, delayP99Ms: 1, delayMaxMs: 2 };
const wedged = { heartbeatAgeMs: 60_000, delayP99Ms: 1, delayMaxMs: 2 };
const fresh = createRouterCounters();
const router: RouterSnapshot = {
  vrid: 51,
  family: 'IPv4',
  version: 3,
  vip: '10.0.0.100',
  state: 'Backup',
  bound: false,
  drained: false,
  priority: 254,
  sinceIso: '2026-11-23T00:00:00.000Z',
  cause: 'started',
  active: { address: '10.0.0.2', priority: 212 },
  counters: { ...fresh, sent: 7, transitions: { ...fresh.transitions, active_silent: 2 } },
};
const address = parseIp('10.0.0.1') ?? assert.fail();
const observation: Observation = {
  version: '1.2.3',
  election: {
    waitingFor: null,
    waitReason: null,
    impediment: null,
    interface: 'eth0',
    stopping: false,
    drained: false,
    routers: [router],
  },
  healthClass: 'A',
  settled: true,
  backends: [
    {
      id: '10.0.0.1:6443',
      address,
      port: 6443,
      local: true,
      state: 'up',
      sinceMs: 0,
      misconfigured: false,
      unverified: false,
      withheld: null,
      lastCheck: { ok: true, detail: '200', durationMs: 3, atMs: 0 },
    },
  ],
  proxy: { ...new ProxyCounters(createProxyCounters()).read(1), listeners: 1 },
  certificates: [{ certificate: 'client', expiryMs: 1_800_000_000_000 }],
  takeover: null,
  logRecordsDropped: 0,
  threads: { election: alive, services: alive, proxy0: alive },
};

test('live and ready when every thread moves and the node stands for election', () => {
  assert.deepEqual(livenessProblems(observation), []);
  assert.deepEqual(readinessProblems(observation), []);
});

test('a wedged election is not live', () => {
  const problems = livenessProblems({
    ...observation,
    threads: { ...observation.threads, election: wedged },
  });
  assert.deepEqual(problems, ['the election thread has not moved for 60000 ms']);
});

test('a proxy thread that does not listen is not live, unless the daemon is stopping', () => {
  const deaf: Observation = { ...observation, proxy: { ...observation.proxy, listeners: 0 } };
  assert.deepEqual(livenessProblems(deaf), ['only 0 of 1 proxy threads listen']);
  const { election } = observation;
  assert.deepEqual(livenessProblems({ ...deaf, election: { ...election, stopping: true } }), []);
});

test('sick API servers cost neither liveness nor readiness', () => {
  const sick: Observation = { ...observation, healthClass: 'C', backends: [] };
  assert.deepEqual([...livenessProblems(sick), ...readinessProblems(sick)], []);
});

test('not ready while waiting for the interface, before the first check, out of the election, or stopping', () => {
  const { election } = observation;
  const waiting = {
    ...observation,
    settled: false,
    election: { ...election, waitingFor: 'interface eth0', waitReason: 'network' as const, routers: [] },
  };
  assert.deepEqual(readinessProblems(waiting), ['waiting for interface eth0']);
  assert.equal(readinessProblems({ ...observation, settled: false }).length, 1);
  const out = { ...election, routers: [{ ...router, state: 'Initialize' as const, cause: 'eth0 is down' }] };
  assert.deepEqual(readinessProblems({ ...observation, election: out }), [
    'not in the election for 10.0.0.100: eth0 is down',
  ]);
  assert.equal(readinessProblems({ ...observation, election: { ...election, stopping: true } }).length, 1);
});

test('/status tells the state without the counters', () => {
  const status = buildStatus(observation);
  assert.equal(status.class, 'A');
  assert.equal(status.virtualRouters[0]?.state, 'Backup');
  assert.equal('counters' in (status.virtualRouters[0] ?? {}), false);
  assert.deepEqual(status.backends[0], {
    id: '10.0.0.1:6443',
    local: true,
    state: 'up',
    detail: '200',
    misconfigured: false,
    connections: 0,
  });
});

test('/metrics has every counter with its labels, and totals are counters', async () => {
  const metrics = new Metrics();
  const text = await metrics.render(observation);
  assert.match(text, /^kube_vrrp_state\{vrid="51",family="IPv4",vip="10.0.0.100",state="Backup"\} 1$/m);
  assert.match(text, /^kube_vrrp_advertisements_sent_total\{vrid="51",family="IPv4",vip="10.0.0.100"\} 7$/m);
  assert.match(text, /^kube_vrrp_transitions_total\{.*cause="active_silent"\} 2$/m);
  assert.match(text, /^kube_vrrp_transitions_total\{.*cause="address_lost"\} 0$/m, 'before the first one');
  assert.match(text, /^kube_vrrp_packets_rejected_total\{.*reason="ttl"\} 0$/m);
  assert.match(text, /^# TYPE kube_vrrp_advertisements_sent_total counter$/m);
  assert.match(text, /^kube_vrrp_backend_up\{backend="10.0.0.1:6443",local="true"\} 1$/m);
  assert.match(
    text,
    /^kube_vrrp_thread_event_loop_delay_seconds\{thread="election",statistic="p99"\} 0.001$/m,
  );
  assert.match(text, /^kube_vrrp_certificate_expiry_timestamp_seconds\{certificate="client"\} 1800000000$/m);
  const again = await metrics.render(observation);
  assert.match(again, /^kube_vrrp_advertisements_sent_total\{.*\} 7$/m, 'a second scrape does not add up');
});

test('/metrics has what the proxy has counted, in total and of each API server', async () => {
  const proxy = {
    clients: 1,
    listeners: 18,
    accepted: 2,
    overLimit: 4,
    overSourceLimit: 5,
    forbidden: 6,
    rateLimited: 7,
    acceptErrors: 8,
    pipeShortages: 17,
    endings: Object.fromEntries(ENDINGS.map((ending, index) => [ending, 100 + index])) as Record<
      Ending,
      number
    >,
    backends: [
      { connections: 12, connectionsTotal: 13, connectFailures: 14, bytesToBackend: 15, bytesToClient: 16 },
    ],
  };
  const text = await new Metrics().render({ ...observation, proxy });
  const samples = text
    .split('\n')
    .filter((line) => /^kube_vrrp_(?:proxy|backend)_/.test(line))
    .map((line) => line.replace('backend="10.0.0.1:6443",local="true"', 'b'))
    .filter((line) => !/_(?:up|takes_new_clients|misconfigured|check_seconds)\{/.test(line));
  assert.deepEqual(samples.toSorted(), [
    'kube_vrrp_backend_connect_failures_total{b} 14',
    'kube_vrrp_backend_connections_total{b} 13',
    'kube_vrrp_backend_connections{b} 12',
    'kube_vrrp_backend_received_bytes_total{b} 16',
    'kube_vrrp_backend_sent_bytes_total{b} 15',
    'kube_vrrp_proxy_accept_errors_total 8',
    'kube_vrrp_proxy_accept_pauses_total 7',
    'kube_vrrp_proxy_accepted_total 2',
    'kube_vrrp_proxy_clients 1',
    'kube_vrrp_proxy_closed_total{reason="aborted"} 105',
    'kube_vrrp_proxy_closed_total{reason="age"} 109',
    'kube_vrrp_proxy_closed_total{reason="backend_down"} 108',
    'kube_vrrp_proxy_closed_total{reason="backend_reset"} 103',
    'kube_vrrp_proxy_closed_total{reason="backend_unreachable"} 104',
    'kube_vrrp_proxy_closed_total{reason="client_reset"} 101',
    'kube_vrrp_proxy_closed_total{reason="client_unreachable"} 102',
    'kube_vrrp_proxy_closed_total{reason="finished"} 100',
    'kube_vrrp_proxy_closed_total{reason="forbidden"} 6',
    'kube_vrrp_proxy_closed_total{reason="limit"} 4',
    'kube_vrrp_proxy_closed_total{reason="no_backend"} 106',
    'kube_vrrp_proxy_closed_total{reason="no_resources"} 111',
    'kube_vrrp_proxy_closed_total{reason="source_limit"} 5',
    'kube_vrrp_proxy_closed_total{reason="stopping"} 110',
    'kube_vrrp_proxy_closed_total{reason="vip_removed"} 107',
    'kube_vrrp_proxy_listeners 18',
    'kube_vrrp_proxy_pipe_shortages_total 17',
  ]);
});

test('RFC 9568 6.4.3: how late the Adver_Timer was is a histogram of the usual kind', async () => {
  const lateness = createDurations();
  for (const lateMs of [0.5, 4, 4, 2500]) observeDuration(lateness, lateMs);
  const late = { ...router, counters: { ...router.counters, lateness } };
  const text = await new Metrics().render({
    ...observation,
    election: { ...observation.election, routers: [late] },
  });
  const name = 'kube_vrrp_advertisement_lateness_seconds';
  const labels = 'vrid="51",family="IPv4",vip="10.0.0.100"';
  assert.match(text, new RegExp(`^# TYPE ${name} histogram$`, 'm'));
  for (const [le, count] of [
    ['0.001', 1],
    ['0.005', 3],
    ['1', 3],
    ['+Inf', 4],
  ] as const) {
    assert.ok(text.includes(`${name}_bucket{${labels},le="${le}"} ${count}\n`), text);
  }
  assert.ok(text.includes(`${name}_count{${labels}} 4\n`), text);
  assert.ok(text.includes(`${name}_sum{${labels}} 2.5085\n`), text);
});

test('an API server that is withheld is up, and takes no new clients', async () => {
  const told = async (withheld: 'notReady' | 'flapping' | null): Promise<unknown[]> => {
    const backends = observation.backends.map((backend) => ({ ...backend, withheld }));
    const text = await new Metrics().render({ ...observation, backends });
    const flag = (name: string): string | undefined =>
      new RegExp(`^kube_vrrp_backend_${name}\\{.*\\} (\\d)$`, 'mu').exec(text)?.[1];
    return [
      flag('up'),
      flag('takes_new_clients'),
      buildStatus({ ...observation, backends }).backends[0]?.state,
    ];
  };
  assert.deepEqual(await told(null), ['1', '1', 'up']);
  assert.deepEqual(await told('notReady'), ['1', '0', 'draining']);
  assert.deepEqual(await told('flapping'), ['1', '0', 'up']);
});

const waiting: Observation = {
  ...observation,
  election: { ...observation.election, waitingFor: 'x', waitReason: 'certificates', routers: [] },
  settled: false,
  backends: [],
  certificates: [],
  threads: { election: alive, services: alive },
};

test('/metrics says from the first moment whether the daemon is ready, and why not', async () => {
  const ready = await new Metrics().render(observation);
  assert.match(ready, /^kube_vrrp_ready 1$/m);
  assert.match(ready, /^kube_vrrp_not_ready\{reason="certificates"\} 0$/m);
  const notReady = await new Metrics().render(waiting);
  assert.match(notReady, /^kube_vrrp_ready 0$/m);
  assert.match(notReady, /^kube_vrrp_not_ready\{reason="certificates"\} 1$/m);
  assert.equal(notReady.match(/^kube_vrrp_not_ready\{.*\} 1$/gm)?.length, 1);
});

test('promtool finds nothing to say about /metrics, of a daemon at work and of one that waits', async () => {
  for (const page of [observation, waiting]) {
    const input = await new Metrics().render(page);
    const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input,
      encoding: 'utf8',
    });
    assert.equal(error, undefined, 'install promtool: bash e2e/setup.sh');
    assert.deepEqual([status, stdout + stderr], [0, '']);
  }
});
