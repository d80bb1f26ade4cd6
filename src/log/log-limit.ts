/**
 * Keeps what strangers can cause from filling the log: one line per key and period, with a count of what was left out.
 */

const OVERFLOW_KEY = '(others)';

type Entry = { readonly loggedAtMs: number; suppressed: number };

export class LogLimit {
  readonly #periodMs: number;
  readonly #maxKeys: number;
  /** In the order in which they were logged last, the oldest first. */
  readonly #entries = new Map<string, Entry>();

  /**
   * Beyond `maxKeys` keys within a period the rest share one budget, so that table and log are bounded whatever
   * arrives. A key whose latest line is older than the period gives its place to a new one.
   */
  constructor(periodMs: number, maxKeys: number) {
    this.#periodMs = periodMs;
    this.#maxKeys = maxKeys;
  }

  /** How many lines were left out since the last one for this key, when one may be written now; else null. */
  take(key: string, nowMs: number): number | null {
    const slot = this.#slotOf(key, nowMs);
    const entry = this.#entries.get(slot);
    if (entry !== undefined && nowMs - entry.loggedAtMs < this.#periodMs) {
      entry.suppressed += 1;
      return null;
    }
    this.#entries.delete(slot);
    this.#entries.set(slot, { loggedAtMs: nowMs, suppressed: 0 });
    return entry?.suppressed ?? 0;
  }

  #slotOf(key: string, nowMs: number): string {
    if (this.#entries.has(key) || this.#entries.size < this.#maxKeys) return key;
    for (const [oldest, { loggedAtMs }] of this.#entries) {
      if (nowMs - loggedAtMs < this.#periodMs) break;
      // The budget that others share keeps its count, as it is for as many keys as there are.
      if (oldest === OVERFLOW_KEY) continue;
      this.#entries.delete(oldest);
      return key;
    }
    return OVERFLOW_KEY;
  }
}
