/**
 * Everything about VRRP's intervals: what an Active advertises, what a Backup follows, and when the Active_Down_Timer
 * is due. In milliseconds with fractions: rounding to centiseconds would leave short intervals no skew. Pure.
 */
import type { Advertisement, VrrpVersion } from './advertisement.ts';
import { LEASE_RENEWAL_MS, LEASE_SECONDS } from './lease.ts';

/**
 * Skew_Time: version 3 ((256 - Priority) * Active_Adver_Interval) / 256 (RFC 9568 6.1); version 2
 * (256 - Priority) / 256 seconds whatever the interval (RFC 3768 6.1). In version 3 less than one interval.
 */
export function skewTimeMs(version: VrrpVersion, priority: number, activeAdverIntervalMs: number): number {
  return ((256 - priority) * (version === 2 ? 1000 : activeAdverIntervalMs)) / 256;
}

/** Active_Down_Interval: 3 * Active_Adver_Interval + Skew_Time (RFC 9568 6.1, RFC 3768 6.1). */
export function activeDownIntervalMs(
  version: VrrpVersion,
  priority: number,
  activeAdverIntervalMs: number,
): number {
  return 3 * activeAdverIntervalMs + skewTimeMs(version, priority, activeAdverIntervalMs);
}

/**
 * The Active_Down_Timer of one term as Backup, with the Active_Adver_Interval that it goes by. Each term has a timer of
 * its own, so that nothing of an Active that was followed earlier outlasts a promotion.
 */
export class ActiveDownTimer {
  readonly #version: VrrpVersion;
  private intervalMs: number;
  private atMs: number;
  private answersResignation = false;

  /** Starts at `nowMs`. `intervalMs`: of the Active that is heard, or the router's own where there is none. */
  constructor(version: VrrpVersion, intervalMs: number, priority: number, nowMs: number) {
    this.#version = version;
    this.intervalMs = intervalMs;
    this.atMs = nowMs + this.activeDownMs(priority);
  }

  get dueMs(): number {
    return this.atMs;
  }

  /** Active_Adver_Interval (RFC 9568 6.1). */
  get activeAdverIntervalMs(): number {
    return this.intervalMs;
  }

  /** Active_Down_Interval, for a Backup of this priority. */
  activeDownMs(priority: number): number {
    return activeDownIntervalMs(this.#version, priority, this.intervalMs);
  }

  /** An Active that stays has advertised this interval (RFC 9568 6.4.2, priority not zero). */
  follow(intervalMs: number, priority: number, nowMs: number): void {
    this.intervalMs = intervalMs;
    this.restart(priority, nowMs);
  }

  /** It fired, and this router did not take over. */
  restart(priority: number, nowMs: number): void {
    this.answersResignation = false;
    this.atMs = nowMs + this.activeDownMs(priority);
  }

  /**
   * The Active has advertised priority 0: due after Skew_Time (RFC 9568 6.4.2, priority 0). An Active that waits for
   * its successor repeats it at each interval. A repetition makes nothing later: Skew_Time may be longer than that
   * interval, and the timer would never fire. It makes it sooner where this router's priority has risen meanwhile.
   */
  answerResignation(priority: number, nowMs: number): void {
    const dueMs = nowMs + skewTimeMs(this.#version, priority, this.intervalMs);
    this.atMs = this.answersResignation ? Math.min(this.atMs, dueMs) : dueMs;
    this.answersResignation = true;
  }
}

/** An advertisement that is later than this many intervals after the one before is late. */
const LATE_INTERVALS = 2;
/** An Active that was late asks for patience until it has been in time for so long. */
export const CALM_MS = 30_000;

/**
 * The interval that an Active advertises while it is late: twice its own, and no more than what lets Backups wait for
 * as long as the kernel keeps the address of one that does not renew it. Version 2 knows one interval for all (RFC 3768
 * 7.1).
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

/**
 * The interval that an Active names while its node is too busy to keep it. Backups go by the interval that the Active
 * advertises (RFC 9568 5.2.7, 6.1), so that one which has been late can ask for patience before it is so late that the
 * VIP moves to a node which may be as busy. It goes on to send as often as it can.
 */
export class Pace {
  readonly #intervalMs: number;
  readonly #patientMs: number;
  #lateUntilMs = -Infinity;

  constructor(version: VrrpVersion, intervalMs: number) {
    this.#intervalMs = intervalMs;
    this.#patientMs = patientIntervalMs(version, intervalMs);
  }

  /** The interval to advertise at `nowMs`. */
  advertisedMs(nowMs: number): number {
    return nowMs < this.#lateUntilMs ? this.#patientMs : this.#intervalMs;
  }

  /**
   * An Active has sent nothing for `silentMs`. True when patience begins. One that stood still for as long as its lease
   * was frozen, not busy: nobody is to wait for that.
   */
  note(silentMs: number, nowMs: number): boolean {
    const isLate = silentMs > LATE_INTERVALS * this.#intervalMs && silentMs < LEASE_SECONDS * 1000;
    if (!isLate || this.#patientMs === this.#intervalMs) return false;
    const isNew = nowMs >= this.#lateUntilMs;
    this.#lateUntilMs = nowMs + CALM_MS;
    return isNew;
  }
}
