/** When connections to a backend that is down should be ended. Pure. */
import type { BackendHealth, BackendId } from './backend.ts';

/**
 * A backend is abandoned when it is down while another one is demonstrably better off: after it fell the other passed a
 * check, and after that one began it failed another. Only this order tells one dead API server from an etcd election,
 * in which all fall and rise again within moments of each other, each at its own next check; then established
 * connections should stay where they are.
 *
 * The checks of a backend that is silent take as long as they may, and others pass several meanwhile. So it is
 * remembered which one of theirs came first, as long as one of them goes on passing.
 */
export class Abandonment {
  /** By backend that is down: the start of the first good check of another one since it fell. */
  readonly #outlivedAtMs = new Map<BackendId, number>();

  /** To be called after each check with what is known of all; returns those that are abandoned now. */
  after(all: readonly BackendHealth[]): ReadonlySet<BackendId> {
    const abandoned = new Set<BackendId>();
    for (const backend of all) {
      const { id, state, lastCheck } = backend;
      const outlivedAtMs = this.#outlived(backend, all);
      if (outlivedAtMs === null) this.#outlivedAtMs.delete(id);
      else this.#outlivedAtMs.set(id, outlivedAtMs);
      const failedAgain = lastCheck !== null && !lastCheck.ok && lastCheck.atMs > (outlivedAtMs ?? Infinity);
      if (state === 'down' && failedAgain) abandoned.add(id);
    }
    return abandoned;
  }

  #outlived({ id, state, sinceMs }: BackendHealth, all: readonly BackendHealth[]): number | null {
    if (state !== 'down') return null;
    const goodAtMs = all.flatMap(({ state: other, lastCheck }) =>
      other === 'up' && lastCheck?.ok === true && lastCheck.atMs > sinceMs ? [lastCheck.atMs] : [],
    );
    if (goodAtMs.length === 0) return null;
    return this.#outlivedAtMs.get(id) ?? Math.min(...goodAtMs);
  }
}
