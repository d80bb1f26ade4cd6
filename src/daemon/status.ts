/** What GET /status answers, put together from what the threads report. */
import { hostname } from 'node:os';
import type { HealthClass } from '../node/health-class.ts';
import type { BackendHealth, BackendState } from '../health/backend.ts';
import type { CredentialExpiry } from '../health/driver/credential-watch.ts';
import type { ThreadVitals } from '../runtime/thread-vitals.ts';
import type { ProxyCounts } from '../proxy/counters.ts';
import type { TakeoverCounts } from '../takeover/driver/takeover.ts';
import type { RouterSnapshot } from '../vrrp/driver/router.ts';
import type { ElectionSnapshot } from './messages.ts';
import { impediments, listenerProblems } from './readiness.ts';
import { type ThreadAges, wedgedThreads } from './supervision.ts';

/** A router's snapshot without what /metrics has, and without what `drained` says for all of them. */
export type RouterStatus = Omit<RouterSnapshot, 'counters' | 'drained'>;

export type BackendStatus = {
  readonly id: string;
  readonly local: boolean;
  /** `draining`: up, but /readyz fails. */
  readonly state: BackendState | 'draining';
  readonly detail: string;
  readonly misconfigured: boolean;
  readonly connections: number;
};

export type Status = {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly interface: string | null;
  readonly waitingFor: string | null;
  readonly class: HealthClass;
  readonly drained: boolean;
  readonly virtualRouters: readonly RouterStatus[];
  readonly backends: readonly BackendStatus[];
  readonly clients: number;
};

/** Everything that the services thread knows about the daemon at one moment. */
export type Observation = {
  readonly version: string;
  readonly election: ElectionSnapshot;
  readonly healthClass: HealthClass;
  readonly settled: boolean;
  readonly backends: readonly BackendHealth[];
  /** Empty until the node is known. */
  readonly certificates: readonly CredentialExpiry[];
  readonly proxy: ProxyCounts;
  /** Null until the node is known. */
  readonly takeover: TakeoverCounts | null;
  readonly threads: Readonly<Record<string, ThreadVitals>>;
  readonly logRecordsDropped: number;
};

export function buildStatus(observation: Observation): Status {
  const { election, backends, proxy } = observation;
  return {
    version: observation.version,
    node: hostname(),
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    interface: election.interface,
    waitingFor: election.waitingFor,
    class: observation.healthClass,
    drained: election.drained,
    virtualRouters: election.routers.map(({ counters: _counters, drained: _drained, ...router }) => router),
    backends: backends.map((backend, index) => ({
      id: backend.id,
      local: backend.local,
      state: backend.state === 'up' && backend.withheld === 'notReady' ? 'draining' : backend.state,
      detail: backend.lastCheck?.detail ?? 'not checked yet',
      misconfigured: backend.misconfigured,
      connections: proxy.backends[index]?.connections ?? 0,
    })),
    clients: proxy.clients,
  };
}

/** Why the daemon should be restarted; empty while it is alive. A sick API server is never a reason. */
export function livenessProblems(observation: Observation): string[] {
  return [...wedgedThreads(agesOf(observation)), ...listenerProblems(observation)];
}

function agesOf({ threads }: Observation): ThreadAges {
  return Object.fromEntries(
    Object.entries(threads).map(([name, { heartbeatAgeMs }]) => [name, heartbeatAgeMs]),
  );
}

/** Why the daemon does not take part yet; empty once it proxies and stands for election. */
export function readinessProblems(observation: Observation): string[] {
  return impediments(observation).map(({ text }) => text);
}
