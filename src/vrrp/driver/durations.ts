/** Durations as a distribution, which is a plain value, so that other threads can be sent it. */

/** Upper bounds of the buckets, ms; what takes longer than the last one is in a bucket of its own. */
export const DURATION_BUCKETS_MS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

export type Durations = {
  /** How many took as long as each bucket says, and longer than the one before: DURATION_BUCKETS_MS and one more. */
  readonly buckets: number[];
  sumMs: number;
  maxMs: number;
};

export function createDurations(): Durations {
  return { buckets: DURATION_BUCKETS_MS.map(() => 0).concat(0), sumMs: 0, maxMs: 0 };
}

export function observeDuration(durations: Durations, durationMs: number): void {
  const found = DURATION_BUCKETS_MS.findIndex((boundMs) => durationMs <= boundMs);
  const index = found === -1 ? DURATION_BUCKETS_MS.length : found;
  durations.buckets[index] = (durations.buckets[index] ?? 0) + 1;
  durations.sumMs += durationMs;
  durations.maxMs = Math.max(durations.maxMs, durationMs);
}
