/**
 * What an Active says of its interval while its node is too busy to keep it. Backups go by the interval that the Active
 * advertises (RFC 9568 5.2.7, 6.1), so that one which has been late can ask for patience before it is so late that the VIP
 * moves to a node which may be as busy. It goes on to send as often as it can. Pure.
 */
import type { Advertisement, VrrpVersion } from './advertisement.ts';
import { LEASE_RENEWAL_MS, LEASE_SECONDS } from './lease.ts';

/** An advertisement that is later than this many intervals after the one before is late. */
const LATE_INTERVALS = 2;
/** Patience lasts until everything has been in time for so long. */
const CALM_MS = 30_000;

/**
 * The interval that an Active advertises while it is late: twice its own, and no more than what lets Backups wait for as
 * long as the kernel keeps the address of one that does not renew it. Version 2 knows one interval for all (RFC 3768 7.1).
 */
export function patientIntervalMs(version: VrrpVersion, intervalMs: number): number {
  if (version === 2) return intervalMs;
  return Math.max(intervalMs, Math.min(2 * intervalMs, LEASE_RENEWAL_MS));
}

/** Whether a node of these settings names such an interval: its own, or the longer one. */
export function isIntervalOf(
  own: Pick<Advertisement, 'version' | 'advertisementIntervalMs'>,
  intervalMs: number,
): boolean {
  const { version, advertisementIntervalMs: ownMs } = own;
  return intervalMs === ownMs || intervalMs === patientIntervalMs(version, ownMs);
}

export class Pace {
  private readonly intervalMs: number;
  private readonly patientMs: number;
  private lateUntilMs = -Infinity;

  constructor(version: VrrpVersion, intervalMs: number) {
    this.intervalMs = intervalMs;
    this.patientMs = patientIntervalMs(version, intervalMs);
  }

  /** The interval to advertise at `nowMs`. */
  advertisedMs(nowMs: number): number {
    return nowMs < this.lateUntilMs ? this.patientMs : this.intervalMs;
  }

  /**
   * An Active has sent nothing for `silentMs`. True when patience begins. One that stood still for as long as its lease
   * was frozen, not busy: nobody is to wait for that.
   */
  note(silentMs: number, nowMs: number): boolean {
    const isLate = silentMs > LATE_INTERVALS * this.intervalMs && silentMs < LEASE_SECONDS * 1000;
    if (!isLate || this.patientMs === this.intervalMs) return false;
    const isNew = nowMs >= this.lateUntilMs;
    this.lateUntilMs = nowMs + CALM_MS;
    return isNew;
  }
}
