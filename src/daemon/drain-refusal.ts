/** Whether this node may be drained. Pure. */
import type { BackendHealth } from '../health/backend.ts';
import type { ElectionSnapshot } from './messages.ts';

/** Why a drain would leave the VIP without a holder, for people; null when it may begin. */
export function drainRefusal(election: ElectionSnapshot, backends: readonly BackendHealth[]): string | null {
  // Only a node with a healthy API server of its own takes over.
  const holds = election.routers.some((router) => router.state === 'Active');
  const others = backends.filter((backend) => !backend.local);
  if (!holds || others.some((backend) => backend.state === 'up')) return null;
  const states = others.map((backend) => `${backend.id} ${backend.state}`).join(', ') || 'there is none';
  return `no other node is healthy (${states}), so no node would take over: use --force to drain all the same`;
}
