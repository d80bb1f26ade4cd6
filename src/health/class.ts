/** The health class of the node, and since when it is known to hold. Pure. */
import type { HealthClass } from '../node/health-class.ts';
import type { BackendHealth } from './backend.ts';
import { type CheckTimes, outageGraceMs } from './schedule.ts';
import type { TrackedBackend } from './tracker.ts';

/** What the checks so far say about the node, when its proxy listens. */
export type Assessment = {
  /** Every backend has been checked at least once. */
  readonly settled: boolean;
  /** C until settled. */
  readonly class: HealthClass;
  /** Start (monotonicMs) of the latest good check that shows the node better off than class C; 0 when none does. */
  readonly confirmedAtMs: number;
};

/** The class of a node with these backends, and since when it is known to hold. */
export function assess(backends: readonly TrackedBackend[], times: CheckTimes): Assessment {
  const healths = backends.map(({ health }) => health);
  const settled = healths.every(({ state }) => state !== 'unknown');
  const current = settled ? healthClass(healths, true) : 'C';
  return { settled, class: current, confirmedAtMs: confirmedAtMs(backends, current, outageGraceMs(times)) };
}

/** The class: what a client that reaches this node's proxy can be served (README.md, who holds the VIP). */
export function healthClass(backends: readonly BackendHealth[], proxyListening: boolean): HealthClass {
  const up = backends.filter(({ state }) => state === 'up');
  if (!proxyListening) return 'C';
  if (up.length > 0) return up.some(({ local }) => local) ? 'A' : 'B';
  return backends.some(({ unverified }) => unverified) ? 'U' : 'C';
}

/**
 * Start (monotonicMs) of the latest good check that shows this node to be better off than one of class C: the local
 * backend's for A, any healthy backend's for B, any that answers for U; 0 when there is none, and for C.
 *
 * In an etcd election every node's checks fail within a moment of each other, and succeed again likewise; only some
 * nodes see as many failures in a row as it takes to fall. So a backend says nothing until it has been good for
 * `graceMs` without a failed check: by then those that shared its outage have recovered too.
 */
export function confirmedAtMs(
  backends: readonly TrackedBackend[],
  current: HealthClass,
  graceMs: number,
): number {
  if (current === 'C') return 0;
  if (current === 'U') return unverifiedAtMs(backends, graceMs);
  const supporting = backends.filter(
    (backend) =>
      backend.health.state === 'up' &&
      (current === 'B' || backend.health.local) &&
      backend.confirmedAtMs - backend.goodSinceMs >= graceMs,
  );
  return Math.max(0, ...supporting.map((backend) => backend.confirmedAtMs));
}

/** The same of API servers that answer and cannot be verified: the start of the latest check that found one. */
function unverifiedAtMs(backends: readonly TrackedBackend[], graceMs: number): number {
  const supporting = backends.flatMap(({ health: { unverified, lastCheck }, unverifiedSinceMs }) =>
    unverified && lastCheck !== null && lastCheck.atMs - unverifiedSinceMs >= graceMs ? [lastCheck.atMs] : [],
  );
  return Math.max(0, ...supporting);
}
