/**
 * One host's kernel, as far as the VIP goes: an address with a lifetime, a notification when it is gone, and a lock for
 * which every change waits (rtnl).
 */
import type { HostClock } from './clock.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

/** The kernel looks for expired addresses now and then, and rounds to be lazy (net/ipv4/devinet.c, check_lifetime). */
export const EXPIRY_LATENESS_MS = 500;

export type KernelOptions = {
  readonly schedule: Schedule;
  readonly clock: HostClock;
  readonly random: Random;
  /** The address is there, and was not before. */
  readonly onAdded: () => void;
  /** The address was removed, by whomever (RTM_DELADDR). */
  readonly onRemoved: (how: RemovedBy) => void;
};

export type RemovedBy = 'daemon' | 'expiry' | 'somebody';

export class Kernel {
  /** Fault: adding and renewing fail. */
  refuses = false;
  readonly #options: KernelOptions;
  /** The lifetime that it was given last, in seconds. */
  validSeconds = 0;
  /** When the address was last added, in simulated time. */
  boundAtMs = -Infinity;
  #expiresAtMs = -Infinity;
  #isBound = false;
  #lockedUntilMs = -Infinity;
  #answersUntilMs = -Infinity;
  /** What waits for the lock, in order. */
  #waiting: (() => void)[] = [];
  /** When it is to be looked whether the address has expired. */
  #lookAtMs = Infinity;

  constructor(options: KernelOptions) {
    this.#options = options;
  }

  get bound(): boolean {
    return this.#isBound;
  }

  /** The latest time at which it has kept a caller waiting, as of now. */
  get slowUntilMs(): number {
    return Math.max(this.#lockedUntilMs, this.#answersUntilMs);
  }

  /** Fault: answers are late, until then. */
  noteSlow(untilMs: number): void {
    this.#answersUntilMs = Math.max(this.#answersUntilMs, untilMs);
  }

  /** Fault: another program holds the lock for so long. */
  hold(durationMs: number): void {
    const { schedule } = this.#options;
    this.#lockedUntilMs = schedule.nowMs + durationMs;
    schedule.at(this.#lockedUntilMs, { run: () => this.#goOn() });
  }

  /** The lock is free. */
  free(): void {
    this.#lockedUntilMs = Math.min(this.#lockedUntilMs, this.#options.schedule.nowMs);
    this.#goOn();
  }

  /** Makes a change when the lock is free, after those that wait already. Also when the caller has died meanwhile. */
  change(run: () => void): void {
    this.#waiting.push(run);
    if (this.#waiting.length === 1) this.#goOn();
  }

  /** Adds the address, or starts its lifetime anew; false when that fails. */
  lease(validSeconds: number): boolean {
    if (this.refuses) return false;
    const { clock, random } = this.#options;
    const localMs = clock.nowMs + validSeconds * 1000 + random.between(0, EXPIRY_LATENESS_MS);
    this.#expiresAtMs = clock.simulatedMs(localMs);
    this.validSeconds = validSeconds;
    this.#lookAtExpiry();
    if (this.#isBound) return true;
    this.#isBound = true;
    this.boundAtMs = this.#options.schedule.nowMs;
    this.#options.onAdded();
    return true;
  }

  /** Returns whether there was an address to remove. */
  remove(by: RemovedBy): boolean {
    if (!this.#isBound) return false;
    this.#isBound = false;
    this.#options.onRemoved(by);
    return true;
  }

  /** The time at which the address would have expired when this was scheduled. */
  run(): void {
    this.#lookAtMs = Infinity;
    if (!this.#isBound) return;
    if (this.#options.schedule.nowMs < this.#expiresAtMs) this.#lookAtExpiry();
    else this.change(() => this.#expire());
  }

  /** It may have been given a new lifetime while this waited for the lock. */
  #expire(): void {
    if (this.#options.schedule.nowMs >= this.#expiresAtMs) this.remove('expiry');
    else if (this.#isBound) this.#lookAtExpiry();
  }

  #goOn(): void {
    while (this.#waiting.length > 0 && this.#options.schedule.nowMs >= this.#lockedUntilMs) {
      const run = this.#waiting[0]!;
      run();
      this.#waiting.shift();
    }
  }

  #lookAtExpiry(): void {
    if (this.#lookAtMs <= this.#expiresAtMs) return;
    this.#lookAtMs = this.#expiresAtMs;
    this.#options.schedule.at(this.#lookAtMs, this);
  }
}
