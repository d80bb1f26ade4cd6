/** One host's CLOCK_MONOTONIC: it began at another time than the simulation, and runs a little fast or slow. */
import type { Schedule } from './schedule.ts';

export class HostClock {
  readonly #schedule: Schedule;
  readonly #offsetMs: number;
  readonly #rate: number;

  /** `driftRatio` 0.001: gains a millisecond each second. */
  constructor(schedule: Schedule, offsetMs: number, driftRatio: number) {
    this.#schedule = schedule;
    this.#offsetMs = offsetMs;
    this.#rate = 1 + driftRatio;
  }

  /** What the host reads. */
  get nowMs(): number {
    return this.#offsetMs + this.#schedule.nowMs * this.#rate;
  }

  /** The simulated time at which the host reads `localMs`. */
  simulatedMs(localMs: number): number {
    return (localMs - this.#offsetMs) / this.#rate;
  }
}
