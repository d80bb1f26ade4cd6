/** How late advertisements leave, as a distribution. */

/** Upper bounds of the buckets, ms; what is later than the last one is in a bucket of its own. */
export const LATENESS_BUCKETS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** A plain value, so that other threads can be sent it. */
export type Lateness = {
  /** How many were as late as each bucket says, and later than the one before: LATENESS_BUCKETS_MS and one more. */
  readonly buckets: number[];
  sumMs: number;
  maxMs: number;
};

export function createLateness(): Lateness {
  return { buckets: LATENESS_BUCKETS_MS.map(() => 0).concat(0), sumMs: 0, maxMs: 0 };
}

export function observeLateness(lateness: Lateness, lateMs: number): void {
  const found = LATENESS_BUCKETS_MS.findIndex((boundMs) => lateMs <= boundMs);
  const index = found === -1 ? LATENESS_BUCKETS_MS.length : found;
  lateness.buckets[index] = (lateness.buckets[index] ?? 0) + 1;
  lateness.sumMs += lateMs;
  lateness.maxMs = Math.max(lateness.maxMs, lateMs);
}
