/** Checks every backend again and again, and reports what that means for the node. */
import type { SecureContext } from 'node:tls';
import type { IpAddress } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import type { BackendHealth, BackendState } from '../backend.ts';
import { type Assessment, assess } from '../class.ts';
import type { Credentials } from '../credentials.ts';
import { nextCheckMs } from '../schedule.ts';
import { type CheckOutcome, type TrackedBackend, recordCheck, untriedBackend } from '../tracker.ts';
import { probe, trustOnly } from './probe.ts';

export type HealthReport = Assessment & {
  /** In the order of the options. */
  readonly backends: readonly BackendHealth[];
};

export type HealthCheckerOptions = {
  readonly backends: readonly {
    readonly address: IpAddress;
    readonly port: number;
    readonly local: boolean;
  }[];
  /** Path of the GET request, with its leading slash. */
  readonly path: string;
  readonly intervalMs: number;
  /** Longest duration of one check, all of it together. */
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  readonly credentials: Credentials;
  /** After each check. */
  onReport(report: HealthReport): void;
  /** After a check that changed the backend's state, before its onReport. */
  onTransition(backend: BackendHealth, previous: BackendState): void;
};

/**
 * Each backend has a loop of its own: at most one check of it is in flight, and a slow one delays no other's. The first
 * round starts at once. What a callback throws is not caught: it becomes an unhandled rejection.
 */
export class HealthChecker {
  readonly #options: HealthCheckerOptions;
  #trust: SecureContext;
  readonly #backends: TrackedBackend[];
  readonly #stopping = new AbortController();
  /** Wakes each loop that waits for its next check. */
  readonly #sleepers = new Set<() => void>();
  #wokenAtMs = -Infinity;
  #loops: readonly Promise<void>[] | null = null;

  /** Throws when the credentials are not PEM, or the client's no pair. */
  constructor(options: HealthCheckerOptions) {
    this.#options = options;
    this.#trust = trustFrom(options.credentials);
    this.#backends = options.backends.map((backend) => untriedBackend(backend));
  }

  /** Begins to check. A checker is started once; a second start does nothing. */
  start(): void {
    this.#loops ??= this.#backends.map((_, index) => this.#keepChecking(index));
  }

  /** From each backend's next check on; one in flight ends with those it began with. Throws as the constructor does. */
  useCredentials(credentials: Credentials): void {
    this.#trust = trustFrom(credentials);
  }

  /**
   * Checks every backend at once, but for those that are being checked; the rhythm goes on from there. Not more often
   * than once in an interval, so that failures in a row stand for the time that they should.
   */
  checkNow(): void {
    const nowMs = monotonicMs();
    if (nowMs - this.#wokenAtMs < this.#options.intervalMs) return;
    this.#wokenAtMs = nowMs;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of [...this.#sleepers]) wake();
  }

  /** Ends the checks in flight and closes their connections. No callback is called from now on. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wakeAll();
    await Promise.allSettled(this.#loops ?? []);
  }

  async #keepChecking(index: number): Promise<void> {
    const { signal } = this.#stopping;
    const backend = this.#options.backends[index];
    if (backend === undefined) return;
    const { path, intervalMs, timeoutMs } = this.#options;
    const target = { address: backend.address, port: backend.port, path, timeoutMs };
    while (!signal.aborted) {
      const outcome = await probe({ ...target, trust: this.#trust }, signal);
      if (signal.aborted) return;
      this.#record(index, outcome);
      const last = { startedMs: outcome.startedMs, endedMs: outcome.startedMs + outcome.durationMs };
      await this.#sleepUntil(nextCheckMs(last, intervalMs, Math.random()));
    }
  }

  #record(index: number, outcome: CheckOutcome): void {
    const before = this.#backends[index];
    if (before === undefined) return;
    const after = recordCheck(before, outcome, this.#options);
    this.#backends[index] = after;
    const previous = before.health.state;
    if (after.health.state !== previous) this.#options.onTransition(after.health, previous);
    if (this.#stopping.signal.aborted) return;
    this.#options.onReport(this.#report());
  }

  #report(): HealthReport {
    const backends = this.#backends.map(({ health }) => health);
    return { backends, ...assess(this.#backends, this.#options) };
  }

  /** Resolves at that time, or when it is woken. */
  #sleepUntil(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.max(0, timeMs - monotonicMs()));
      this.#sleepers.add(wake);
    });
  }
}

function trustFrom({ ca, client }: Credentials): SecureContext {
  return trustOnly(ca.pem, client);
}
