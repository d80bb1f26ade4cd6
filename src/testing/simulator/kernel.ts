/** One host's kernel, as far as the VIP goes: an address with a lifetime, and a notification when it is gone. */
import { LEASE_SECONDS } from '../../vrrp/lease.ts';
import type { HostClock } from './clock.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

/** The kernel looks for expired addresses now and then, and rounds to be lazy (net/ipv4/devinet.c, check_lifetime). */
export const EXPIRY_LATENESS_MS = 500;

export type KernelOptions = {
  readonly schedule: Schedule;
  readonly clock: HostClock;
  readonly random: Random;
  /** The address was removed, by whomever (RTM_DELADDR). */
  readonly onRemoved: (how: RemovedBy) => void;
};

export type RemovedBy = 'daemon' | 'expiry' | 'somebody';

export class Kernel {
  /** Fault: adding and renewing fail. */
  refuses = false;
  private readonly options: KernelOptions;
  private expiresAtMs = -Infinity;
  private isBound = false;
  private isExpiryScheduled = false;

  constructor(options: KernelOptions) {
    this.options = options;
  }

  get bound(): boolean {
    return this.isBound;
  }

  /** Adds the address, or starts its lifetime anew; false when that fails. */
  lease(): boolean {
    if (this.refuses) return false;
    const { schedule, clock, random } = this.options;
    const localMs = clock.nowMs + LEASE_SECONDS * 1000 + random.between(0, EXPIRY_LATENESS_MS);
    this.expiresAtMs = clock.simulatedMs(localMs);
    this.isBound = true;
    if (!this.isExpiryScheduled) schedule.at(this.expiresAtMs, this);
    this.isExpiryScheduled = true;
    return true;
  }

  remove(by: RemovedBy): void {
    if (!this.isBound) return;
    this.isBound = false;
    this.options.onRemoved(by);
  }

  /** The time at which the address would have expired when this was scheduled. */
  run(): void {
    const { schedule } = this.options;
    this.isExpiryScheduled = false;
    if (!this.isBound) return;
    if (schedule.nowMs >= this.expiresAtMs) {
      this.remove('expiry');
      return;
    }
    this.isExpiryScheduled = true;
    schedule.at(this.expiresAtMs, this);
  }
}
