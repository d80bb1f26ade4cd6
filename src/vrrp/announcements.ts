/** When an Active announces its addresses (gratuitous ARP, unsolicited neighbor advertisements). Pure. */

/**
 * After promotion they are announced again and again for a second, because a neighbor that has just updated its entry
 * ignores us inside its locktime (Linux: 1 s) and would send to the old Active until we repeat it. Then once more
 * against loss, then a slow refresh.
 */
export const ANNOUNCEMENT_OFFSETS_MS: readonly number[] = [0, 20, 100, 200, 300, 400, 500, 750, 1_100, 3_000];
export const ANNOUNCEMENT_REFRESH_MS = 60_000;
/** Another Active, or a forger of one, cannot cause bursts more often than this. */
const MIN_BURST_GAP_MS = 1000;

/** The announcements of one term as Active. */
export class Announcements {
  /** When the present burst began, and how many of it have been made. */
  #sinceMs: number;
  #made = 1;
  #nextMs: number;

  /** Promoted at `nowMs`; the first announcement belongs to the promotion. */
  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
    this.#nextMs = this.#afterMs(nowMs);
  }

  get dueMs(): number {
    return this.#nextMs;
  }

  /** The one that was due has been made, or left out. */
  advance(nowMs: number): void {
    this.#made += 1;
    this.#nextMs = this.#afterMs(nowMs);
  }

  /**
   * Somebody else has announced the addresses, so neighbors have to be told anew who has them: a burst, within limits.
   */
  beginAnew(nowMs: number): void {
    if (nowMs - this.#sinceMs < MIN_BURST_GAP_MS) return;
    this.#sinceMs = nowMs;
    this.#made = 0;
    this.#nextMs = nowMs;
  }

  #afterMs(nowMs: number): number {
    const offsetMs = ANNOUNCEMENT_OFFSETS_MS[this.#made];
    return offsetMs === undefined
      ? nowMs + ANNOUNCEMENT_REFRESH_MS
      : Math.max(this.#sinceMs + offsetMs, nowMs);
  }
}
