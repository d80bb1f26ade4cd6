/** The rhythm of a backend's checks, and what can be told from it. Pure. */

/** Each interval is up to this part longer or shorter, so that nodes started together drift apart. */
export const JITTER_RATIO = 0.1;

/**
 * Time of the next check: `intervalMs`, plus or minus 10 %, after the last one began, but never before it has ended.
 * All times are of one clock; `random` is in [0, 1).
 */
export function nextCheckMs(
  last: { readonly startedMs: number; readonly endedMs: number },
  intervalMs: number,
  random: number,
): number {
  const jitteredMs = intervalMs * (1 + JITTER_RATIO * (2 * random - 1));
  return Math.max(last.endedMs, last.startedMs + jitteredMs);
}

/** What the checks' rhythm is made of (config keys of the same names under `health`). */
export type CheckTimes = {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly rise: number;
};

/**
 * How long nodes that recover from the same outage may differ in noticing (ms): one may have a check under way that
 * runs into its timeout, and then needs `rise` more, each up to a tenth later than the interval says.
 */
export function outageGraceMs({ timeoutMs, intervalMs, rise }: CheckTimes): number {
  return timeoutMs + (rise + 1) * intervalMs * (1 + JITTER_RATIO);
}
