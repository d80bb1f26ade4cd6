/** Rise and fall of one backend: what its checks, one after the other, say about its state. Pure. */
import { type IpAddress, formatHostPort } from '../ip/address.ts';
import type { BackendHealth, BackendState } from './backend.ts';
import { countFalls, isFlapping, MEMORY_MS, withFall } from './flapping.ts';

/** What one check found. */
export type CheckOutcome = {
  readonly ok: boolean;
  /** The server lives, but the check is not allowed (401, 403); `ok` is true then. */
  readonly refused: boolean;
  /**
   * The server answers, but says nothing of its health to this check: its certificate cannot be verified, or the path
   * is not there. `ok` is false then.
   */
  readonly unverified: boolean;
  /** False when /readyz exists and fails. */
  readonly ready: boolean;
  /** For people: '200', 'status 500', 'connection refused', ... */
  readonly detail: string;
  /** monotonicMs. */
  readonly startedMs: number;
  readonly durationMs: number;
};

export type Thresholds = {
  /** Good checks in a row that bring a backend up again, 1 or more. */
  readonly rise: number;
  /** Failed checks in a row that take a backend down, 1 or more. */
  readonly fall: number;
};

export type TrackedBackend = {
  readonly health: BackendHealth;
  /** How many checks in a row, up to the last one, have contradicted the state. */
  readonly contradictions: number;
  /** Start of the latest good check (monotonicMs); 0 before the first. */
  readonly confirmedAtMs: number;
  /** Start of the first check of the unbroken row of good ones up to now (monotonicMs); Infinity after a failed one. */
  readonly goodSinceMs: number;
  /** The same of checks that were refused. */
  readonly refusedSinceMs: number;
  /** The same of checks that found a server which cannot be verified. */
  readonly unverifiedSinceMs: number;
  /** When it fell lately; oldest first, a few at most. */
  readonly falls: readonly number[];
};

/** An API server that starts refuses everybody until it has made its own RBAC rules, which takes seconds. */
const REFUSED_FOR_GOOD_MS = 10_000;

/** A backend that has not been checked. */
export function untriedBackend(backend: {
  readonly address: IpAddress;
  readonly port: number;
  readonly local: boolean;
}): TrackedBackend {
  const { address, port, local } = backend;
  const id = formatHostPort(address, port);
  const health = {
    id,
    address,
    port,
    local,
    state: 'unknown',
    sinceMs: 0,
    lastCheck: null,
    misconfigured: false,
    unverified: false,
    withheld: null,
  } as const;
  return {
    health,
    contradictions: 0,
    confirmedAtMs: 0,
    goodSinceMs: Infinity,
    refusedSinceMs: Infinity,
    unverifiedSinceMs: Infinity,
    falls: [],
  };
}

/**
 * The backend after one more check. The first check decides at once, so that a daemon that starts knows after one round
 * whom it can serve; later the state turns only after `rise` or `fall` checks in a row that say the opposite.
 */
export function recordCheck(
  backend: TrackedBackend,
  outcome: CheckOutcome,
  thresholds: Thresholds,
): TrackedBackend {
  const { health } = backend;
  const { ok, refused, unverified, startedMs } = outcome;
  const refusedSinceMs = refused ? Math.min(backend.refusedSinceMs, startedMs) : Infinity;
  const contradictions = (health.state === 'up') === ok ? 0 : backend.contradictions + 1;
  const turns = health.state === 'unknown' || contradictions >= (ok ? thresholds.rise : thresholds.fall);
  const state: BackendState = turns ? (ok ? 'up' : 'down') : health.state;
  const sinceMs = turns ? startedMs : health.sinceMs;
  const fell = state === 'down' && health.state === 'up';
  const falls = fell ? withFall(backend.falls, startedMs) : backend.falls;
  const withheld = withheldBy(outcome, state === 'up' && isFlapping(falls, sinceMs, startedMs));
  return {
    health: {
      ...health,
      state,
      sinceMs,
      lastCheck: lastCheckOf(outcome, withheld === 'flapping' ? countFalls(falls, startedMs) : 0),
      misconfigured: startedMs - refusedSinceMs >= REFUSED_FOR_GOOD_MS,
      unverified: unverified && state === 'down',
      withheld,
    },
    contradictions: turns ? 0 : contradictions,
    confirmedAtMs: ok ? startedMs : backend.confirmedAtMs,
    goodSinceMs: ok ? Math.min(backend.goodSinceMs, startedMs) : Infinity,
    refusedSinceMs,
    unverifiedSinceMs: unverified ? Math.min(backend.unverifiedSinceMs, startedMs) : Infinity,
    falls,
  };
}

function withheldBy({ ok, ready }: CheckOutcome, flapping: boolean): BackendHealth['withheld'] {
  if (ok && !ready) return 'notReady';
  return flapping ? 'flapping' : null;
}

function lastCheckOf(
  { ok, detail, startedMs: atMs, durationMs }: CheckOutcome,
  falls: number,
): BackendHealth['lastCheck'] {
  const history = falls > 0 ? `, but it has fallen ${falls} times within ${MEMORY_MS / 60_000} minutes` : '';
  return { ok, detail: `${detail}${history}`, durationMs, atMs };
}
