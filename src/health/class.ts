/** The health class of the node, and since when it is known to hold. Pure. */
import type { BackendHealth, HealthClass } from './backend.ts';
import type { TrackedBackend } from './tracker.ts';

/** The class: what a client that reaches this node's proxy can be served (DESIGN.md, who holds the VIP). */
export function healthClass(backends: readonly BackendHealth[], proxyListening: boolean): HealthClass {
  const up = backends.filter(({ state }) => state === 'up');
  if (!proxyListening || up.length === 0) return 'C';
  return up.some(({ local }) => local) ? 'A' : 'B';
}

/**
 * Start (monotonicMs) of the latest good check that supports `current`: the local backend's for A, any healthy
 * backend's for B; 0 for C. A check that began after some moment proves health after it; one that only ended after it
 * does not.
 */
export function confirmedAtMs(backends: readonly TrackedBackend[], current: HealthClass): number {
  if (current === 'C') return 0;
  const supporting = backends.filter(
    ({ health }) => health.state === 'up' && (current === 'B' || health.local),
  );
  return Math.max(0, ...supporting.map((backend) => backend.confirmedAtMs));
}
