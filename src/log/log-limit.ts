/** Keeps what strangers can cause from filling the log: one line per key and period, with a count of what was left out. */

const OVERFLOW_KEY = '(others)';

export class LogLimit {
  private readonly periodMs: number;
  private readonly maxKeys: number;
  private readonly entries = new Map<string, { loggedAtMs: number; suppressed: number }>();

  /** Beyond `maxKeys` keys the rest share one budget, so that table and log are bounded whatever arrives. */
  constructor(periodMs: number, maxKeys: number) {
    this.periodMs = periodMs;
    this.maxKeys = maxKeys;
  }

  /** How many lines were left out since the last one for this key, when one may be written now; else null. */
  take(key: string, nowMs: number): number | null {
    const known = this.entries.has(key) || this.entries.size < this.maxKeys;
    const slot = known ? key : OVERFLOW_KEY;
    const entry = this.entries.get(slot);
    if (entry === undefined) {
      this.entries.set(slot, { loggedAtMs: nowMs, suppressed: 0 });
      return 0;
    }
    if (nowMs - entry.loggedAtMs < this.periodMs) {
      entry.suppressed += 1;
      return null;
    }
    const { suppressed } = entry;
    entry.loggedAtMs = nowMs;
    entry.suppressed = 0;
    return suppressed;
  }
}
