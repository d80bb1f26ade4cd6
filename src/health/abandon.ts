/** When connections to a backend that is down should be ended. Pure. */
import type { BackendHealth } from './backend.ts';

/**
 * True when `backend` is down while another one is demonstrably better off: after `backend` fell the other passed a
 * check, and after that one began `backend` failed another. Only this order tells one dead API server from an etcd
 * election, in which all fall and rise again within moments of each other, each at its own next check; then
 * established connections should stay where they are.
 */
export function isAbandoned(backend: BackendHealth, all: readonly BackendHealth[]): boolean {
  const { state, sinceMs, lastCheck } = backend;
  if (state !== 'down' || lastCheck === null || lastCheck.ok) return false;
  return all.some(
    (other) =>
      other.state === 'up' &&
      other.lastCheck !== null &&
      other.lastCheck.ok &&
      other.lastCheck.atMs > sinceMs &&
      other.lastCheck.atMs < lastCheck.atMs,
  );
}
