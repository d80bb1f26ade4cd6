/** What the proxy is sent of the API servers' health: a state for each, and only when one has changed. Pure. */
import { Abandonment } from '../health/abandon.ts';
import type { BackendHealth } from '../health/backend.ts';
import type { ProxyBackend } from '../proxy/upstream.ts';

export class BackendStates {
  readonly #abandonment = new Abandonment();
  #sent = '';

  /**
   * To be called after each check. Returns all backends, in the same order, or null when the proxy knows their states.
   */
  after(backends: readonly BackendHealth[]): readonly ProxyBackend[] | null {
    const abandoned = this.#abandonment.after(backends);
    const states = backends.map((backend) => proxyState(backend, abandoned.has(backend.id)));
    const text = states.join(' ');
    if (text === this.#sent) return null;
    this.#sent = text;
    return backends.map(({ id, address, port, local }, index) => ({
      id,
      host: address.text,
      port,
      local,
      state: states[index] ?? 'unknown',
    }));
  }
}

/** A backend that is down keeps its connections, as in an etcd election, until it is abandoned. */
function proxyState({ state, withheld }: BackendHealth, isAbandoned: boolean): ProxyBackend['state'] {
  if (state === 'up' && withheld !== null) return 'draining';
  return state === 'down' && !isAbandoned ? 'failing' : state;
}
