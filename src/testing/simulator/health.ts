/**
 * One daemon's health checks, with the real rise and fall (src/health): each backend is checked about once an interval,
 * in a rhythm of its own, and every check that ends makes a report, as the daemon's does.
 */
import { parseIp } from '../../ip/address.ts';
import { assess } from '../../health/class.ts';
import { type CheckTimes, JITTER_RATIO, nextCheckMs } from '../../health/schedule.ts';
import { type TrackedBackend, recordCheck, untriedBackend } from '../../health/tracker.ts';
import type { HealthClass } from '../../node/health-class.ts';
import type { HostClock } from './clock.ts';
import type { Random } from './random.ts';
import type { Schedule, Task } from './schedule.ts';

/** What an API server does with a health check: answers it well, answers it badly, or never. */
export type ApiState = 'up' | 'failing' | 'hung';

/** The daemon's defaults (src/config/schema.ts). */
export const RISE = 2;
export const FALL = 3;
/** A check that is answered takes up to this long, 1 ms and more. */
const MAX_ANSWER_MS = 40;

/** Until a node that can be well again is: the check that is under way times out, and `rise` good ones follow. */
export function recoveryMs({ timeoutMs, intervalMs, rise }: CheckTimes): number {
  return timeoutMs + rise * intervalMs * (1 + JITTER_RATIO) + MAX_ANSWER_MS;
}

export type HealthChecksOptions = {
  readonly schedule: Schedule;
  readonly clock: HostClock;
  readonly random: Random;
  readonly times: CheckTimes;
  readonly hostCount: number;
  readonly localIndex: number;
  /** What happens to a check of this host's API server that begins now. */
  readonly ask: (hostIndex: number) => ApiState;
  /** Runs the task now, or when the process wakes up, or not at all if it is dead. */
  readonly whenAwake: (task: Task) => void;
  readonly onReport: (healthClass: HealthClass, confirmedAtMs: number) => void;
};

const BACKEND_ADDRESS = parseIp('192.0.2.1')!;
const BACKEND_PORT = 6443;

export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #backends: TrackedBackend[] = [];

  constructor(options: HealthChecksOptions) {
    this.#options = options;
    for (let index = 0; index < options.hostCount; index += 1) {
      const local = index === options.localIndex;
      this.#backends.push(untriedBackend({ address: BACKEND_ADDRESS, port: BACKEND_PORT, local }));
      new Check(this, options, index).begin();
    }
  }

  record(index: number, ok: boolean, startedMs: number): void {
    const { clock, times, onReport } = this.#options;
    const backend = this.#backends[index]!;
    const durationMs = clock.nowMs - startedMs;
    const outcome = { ok, ready: true, refused: false, unverified: false, detail: '', startedMs, durationMs };
    this.#backends[index] = recordCheck(backend, outcome, { rise: times.rise, fall: FALL });
    const report = assess(this.#backends, times);
    if (report.settled) onReport(report.class, report.confirmedAtMs);
  }
}

/** One backend's checks, one after the other, for ever. */
class Check implements Task {
  readonly #checks: HealthChecks;
  readonly #options: HealthChecksOptions;
  readonly #index: number;
  #isUnderWay = false;
  #ok = false;
  #startedMs = 0;
  readonly #awake: Task;

  constructor(checks: HealthChecks, options: HealthChecksOptions, index: number) {
    this.#checks = checks;
    this.#options = options;
    this.#index = index;
    this.#awake = { run: () => (this.#isUnderWay ? this.#end() : this.begin()) };
  }

  run(): void {
    this.#options.whenAwake(this.#awake);
  }

  begin(): void {
    const { schedule, clock, random, times, ask } = this.#options;
    const answer = ask(this.#index);
    this.#isUnderWay = true;
    this.#ok = answer === 'up';
    this.#startedMs = clock.nowMs;
    const durationMs = answer === 'hung' ? times.timeoutMs : random.between(1, MAX_ANSWER_MS);
    schedule.at(clock.simulatedMs(this.#startedMs + durationMs), this);
  }

  #end(): void {
    const { schedule, clock, random, times } = this.#options;
    this.#isUnderWay = false;
    const last = { startedMs: this.#startedMs, endedMs: clock.nowMs };
    schedule.at(clock.simulatedMs(nextCheckMs(last, times.intervalMs, random.unit())), this);
    this.#checks.record(this.#index, this.#ok, this.#startedMs);
  }
}
