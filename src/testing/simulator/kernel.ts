/** One host's kernel, as far as the VIP goes: an address with a lifetime, and a notification when it is gone. */
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
  #expiresAtMs = -Infinity;
  #isBound = false;
  /** When it is to be looked whether the address has expired. */
  #lookAtMs = Infinity;

  constructor(options: KernelOptions) {
    this.#options = options;
  }

  get bound(): boolean {
    return this.#isBound;
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
    this.#options.onAdded();
    return true;
  }

  /** Whether there was an address to remove. */
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
    if (this.#options.schedule.nowMs >= this.#expiresAtMs) this.remove('expiry');
    else this.#lookAtExpiry();
  }

  #lookAtExpiry(): void {
    if (this.#lookAtMs <= this.#expiresAtMs) return;
    this.#lookAtMs = this.#expiresAtMs;
    this.#options.schedule.at(this.#lookAtMs, this);
  }
}
