/**
 * Flap damping, after the idea of RFC 2439: an API server that falls again and again cuts off whoever it has just been
 * given, so that each return has to last longer before it gets new clients. Pure.
 */

/** Falls longer ago than this count no more. */
export const MEMORY_MS = 300_000;
/** As many falls may be a restart and what follows from it. */
const TOLERATED = 2;
/** After the first fall beyond that, and twice as long after each further one. */
const FIRST_HOLD_MS = 10_000;
const MAX_HOLD_MS = 60_000;
/** More would lengthen nothing. */
const REMEMBERED = TOLERATED + 4;

/** The falls that are remembered, with another one at `nowMs`; oldest first. */
export function withFall(falls: readonly number[], nowMs: number): readonly number[] {
  return [...recent(falls, nowMs), nowMs].slice(-REMEMBERED);
}

/** How many of the falls still count. */
export function countFalls(falls: readonly number[], nowMs: number): number {
  return recent(falls, nowMs).length;
}

/** True while a backend that is up since `upSinceMs` has not been so for long enough after its falls. */
export function isFlapping(falls: readonly number[], upSinceMs: number, nowMs: number): boolean {
  const beyond = countFalls(falls, nowMs) - TOLERATED;
  if (beyond <= 0) return false;
  return nowMs - upSinceMs < Math.min(MAX_HOLD_MS, FIRST_HOLD_MS * 2 ** (beyond - 1));
}

function recent(falls: readonly number[], nowMs: number): readonly number[] {
  return falls.filter((fellAtMs) => nowMs - fellAtMs < MEMORY_MS);
}
