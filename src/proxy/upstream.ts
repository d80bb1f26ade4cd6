/** Which backend a client gets, and whose connections end when health changes. Pure. */
import { inPrefix, parseIp } from '../ip/address.ts';
import type { IpAddress } from '../ip/address.ts';

/** A backend as the proxy sees it: where it listens, and what the health checks last said. */
export type ProxyBackend = {
  /** `formatHostPort` of its address and port; unique in the list. */
  readonly id: string;
  /** An IP address in text, never a name: the proxy asks no DNS. */
  readonly host: string;
  readonly port: number;
  /** True for the backend of this node. */
  readonly local: boolean;
  /** `failing`: gets no new clients while another is up, but keeps those it has. `down`: loses them as well. */
  readonly state: 'unknown' | 'up' | 'failing' | 'down';
};

const LOOPBACK_IPV4 = parseIp('127.0.0.0');
const OWN_TEXTS: ReadonlySet<string> = new Set(['::1', '::', '0.0.0.0']);

/**
 * The index of the backend that a client should be connected to, or null when each one is in `tried`.
 *
 * A backend that is up comes before one that is not; without any that is up all are tried, in the same order
 * (fail open: a health check that errs must not cut the cluster off). Then fewest connections, then the local one,
 * then the first in the list.
 */
export function chooseUpstream(
  backends: readonly ProxyBackend[],
  connectionsOf: (index: number) => number,
  tried: readonly number[],
): number | null {
  let best: number | null = null;
  let bestUp = false;
  let bestConnections = 0;
  let bestLocal = false;
  for (const [index, backend] of backends.entries()) {
    if (tried.includes(index)) continue;
    const up = backend.state === 'up';
    if (bestUp && !up) continue;
    const connections = connectionsOf(index);
    const better =
      best === null ||
      (up && !bestUp) ||
      connections < bestConnections ||
      (connections === bestConnections && backend.local && !bestLocal);
    if (!better) continue;
    best = index;
    bestUp = up;
    bestConnections = connections;
    bestLocal = backend.local;
  }
  return best;
}

/**
 * Indices of the backends whose connections must be closed when the states change from `previous` to `next`: those
 * that came down while another one is up. With none up, established connections stay (an etcd election makes every
 * API server unhealthy at once and must not cost anyone a watch).
 */
export function backendsToClose(previous: readonly ProxyBackend[], next: readonly ProxyBackend[]): number[] {
  if (!next.some((backend) => backend.state === 'up')) return [];
  const fallen: number[] = [];
  for (const [index, backend] of next.entries()) {
    if (backend.state === 'down' && previous[index]?.state !== 'down') fallen.push(index);
  }
  return fallen;
}

/**
 * `backends` with the states of `update`, matched by id. The set of backends is fixed for the life of a worker
 * (counters are indexed by position): ids that are not in `backends` come back in `unknownIds`, and a backend that
 * `update` does not name keeps its state.
 */
export function withStates(
  backends: readonly ProxyBackend[],
  update: readonly ProxyBackend[],
): { readonly backends: readonly ProxyBackend[]; readonly unknownIds: readonly string[] } {
  const states = new Map(update.map((backend) => [backend.id, backend.state]));
  const known = new Set(backends.map((backend) => backend.id));
  return {
    backends: backends.map((backend) => ({ ...backend, state: states.get(backend.id) ?? backend.state })),
    unknownIds: [...states.keys()].filter((id) => !known.has(id)),
  };
}

/**
 * The first backend that is the proxy itself, or null: the same port, on this node. Each client would be passed
 * round until no file descriptor is left. `hostAddresses` are the canonical texts of this host's addresses.
 */
export function findOwnBackend(
  backends: readonly ProxyBackend[],
  port: number,
  hostAddresses: ReadonlySet<string>,
): ProxyBackend | null {
  return (
    backends.find(
      (backend) => backend.port === port && (backend.local || isOwnHost(backend.host, hostAddresses)),
    ) ?? null
  );
}

function isOwnHost(host: string, hostAddresses: ReadonlySet<string>): boolean {
  const address = parseIp(host);
  if (address === null) return host === 'localhost';
  return OWN_TEXTS.has(address.text) || hostAddresses.has(address.text) || isLoopbackIpv4(address);
}

function isLoopbackIpv4(address: IpAddress): boolean {
  return LOOPBACK_IPV4 !== null && inPrefix(address, LOOPBACK_IPV4, 8);
}
