/** When a backend is checked next. Pure. */

/** Each interval is up to this part longer or shorter, so that nodes started together drift apart. */
const JITTER_RATIO = 0.1;

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
