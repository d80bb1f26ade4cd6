/** What the rest of the daemon sees of health: the state of each backend. Pure. */
import type { IpAddress } from '../ip/address.ts';

/** formatHostPort(address, port). */
export type BackendId = string;

/** `unknown` until the first check has ended. */
export type BackendState = 'unknown' | 'up' | 'down';

export type BackendHealth = {
  readonly id: BackendId;
  readonly address: IpAddress;
  readonly port: number;
  /** True for this node's own API server. */
  readonly local: boolean;
  readonly state: BackendState;
  /** Start of the check that brought the backend into this state (monotonicMs); 0 before the first. */
  readonly sinceMs: number;
  /** `detail` is for people: '200', 'status 500', 'connection refused', ... `atMs` is the start (monotonicMs). */
  readonly lastCheck: {
    readonly ok: boolean;
    readonly detail: string;
    readonly durationMs: number;
    readonly atMs: number;
  } | null;
  /** Checks have been answered with 401 or 403 for long: the server lives, but the check is not allowed. */
  readonly misconfigured: boolean;
  /** It is down for the checks, but answers: its certificate cannot be verified, or the path is not there. */
  readonly unverified: boolean;
  /**
   * Why the server gets no new clients though it is up. `notReady`: /readyz fails, as it is about to stop or has not
   * started up; `flapping`: it has fallen again and again.
   */
  readonly withheld: 'notReady' | 'flapping' | null;
};

/** When the latest check of any backend began (monotonicMs); 0 before the first. */
export function latestCheckMs(backends: readonly BackendHealth[]): number {
  return Math.max(0, ...backends.map(({ lastCheck }) => lastCheck?.atMs ?? 0));
}
