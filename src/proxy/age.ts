/** When a connection has been open for long enough. Pure. */

/** A connection on which nothing has come or gone for this long is idle. */
const IDLE_MS = 1_000;
/** Ages differ by this part in both directions: clients that came together do not go together. */
const SPREAD_RATIO = 0.1;

/** The longest age of one connection: `maxAgeMs`, plus or minus a tenth. `random` is in [0, 1). */
export function longestAgeMs(maxAgeMs: number, random: number): number {
  return maxAgeMs * (1 + SPREAD_RATIO * (2 * random - 1));
}

/** What a connection is at some moment: open for `ageMs`, its latest byte `quietMs` ago. */
export type ConnectionAge = {
  readonly ageMs: number;
  readonly quietMs: number;
  /** A side does not take what the other has for it: nothing moves, but it is not idle. */
  readonly isHeldBack: boolean;
};

/** True for a connection that is idle and older than `longestMs`. */
export function isTooOld({ ageMs, quietMs, isHeldBack }: ConnectionAge, longestMs: number): boolean {
  return ageMs > longestMs && quietMs >= IDLE_MS && !isHeldBack;
}
