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
  /**
   * `draining` and `failing` get no new clients while another is up, but keep those they have; `draining` comes first
   * when none is. `down` loses them as well.
   */
  readonly state: 'unknown' | 'up' | 'draining' | 'failing' | 'down';
};

const LOOPBACK_IPV4 = parseIp('127.0.0.0');
const OWN_TEXTS: ReadonlySet<string> = new Set(['::1', '::', '0.0.0.0']);

/** What the choice depends on beside the states. */
export type BackendLoad = {
  readonly connections: (index: number) => number;
  /** True when nobody could connect to it lately, which the health checks have not noticed yet. */
  readonly isSuspect: (index: number) => boolean;
  /** The part of a full share of connections that it may have now, above 0 and at most 1: see `slowStartShare`. */
  readonly share: (index: number) => number;
};

/** A returning API server has no connections, and would get every client until it has as many as the others. */
const SLOW_START_MS = 30_000;
const FIRST_SHARE = 0.05;

/**
 * The share of a backend that has been up again for `upMs`: a thirtieth of the rest each second, from a twentieth on.
 */
export function slowStartShare(upMs: number): number {
  return Math.min(1, Math.max(FIRST_SHARE, upMs / SLOW_START_MS));
}

/**
 * The index of the backend that a client should be connected to, or null when each one is in `tried`.
 *
 * A backend that is up comes before one that is not; without any that is up all are tried, in the same order
 * (fail open: a health check that errs must not cut the cluster off). A suspect one comes after its equals: a node that
 * lost its power has the fewest connections, and would cost each new client the connect timeout until the checks fail.
 * Then fewest connections for its share, then the local one, then the first in the list.
 */
export function chooseUpstream(
  backends: readonly ProxyBackend[],
  load: BackendLoad,
  tried: readonly number[],
): number | null {
  let best: number | null = null;
  let bestRank = 0;
  let bestLoad = 0;
  let bestLocal = false;
  for (const [index, backend] of backends.entries()) {
    if (tried.includes(index)) continue;
    const rank = RANKS[backend.state] + (load.isSuspect(index) ? 1 : 0);
    const connections = (load.connections(index) + 1) / load.share(index);
    const better =
      best === null ||
      rank < bestRank ||
      (rank === bestRank &&
        (connections < bestLoad || (connections === bestLoad && backend.local && !bestLocal)));
    if (!better) continue;
    best = index;
    bestRank = rank;
    bestLoad = connections;
    bestLocal = backend.local;
  }
  return best;
}

/** Lower is better; a suspect one is between its own rank and the next. */
const RANKS: Readonly<Record<ProxyBackend['state'], number>> = {
  up: 0,
  draining: 2,
  unknown: 4,
  failing: 4,
  down: 4,
};

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

/** Indices of the backends that came up again while another one has been up: they are filled slowly. */
export function risenBackends(previous: readonly ProxyBackend[], next: readonly ProxyBackend[]): number[] {
  const anyStayed = next.some(({ state }, index) => state === 'up' && previous[index]?.state === 'up');
  if (!anyStayed) return [];
  return next.flatMap(({ state }, index) => {
    const before = previous[index]?.state ?? 'unknown';
    return state === 'up' && before !== 'up' && before !== 'unknown' ? [index] : [];
  });
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
