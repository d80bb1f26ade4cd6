/** Waiting for a condition: never a fixed sleep. */
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { PATIENCE } from '../../src/testing/patience.ts';

const MIN_POLL_MS = 10;
const MAX_POLL_MS = 1000;
/** A look may start programs, and must not starve what it waits for: it rests this many times as long as it took. */
const REST_FACTOR = 3;
const DEFAULT_DEADLINE_MS = 15_000;

export type Waiting = {
  /** What is waited for, as the end of "timed out waiting for ...". */
  readonly what: string;
  /** Default: generous, 15 s. */
  readonly deadlineMs?: number;
  /** Printed below the message when time runs out: what the lab looks like instead. */
  readonly otherwise?: () => string;
};

/**
 * Resolves with the first value of `look` that is not null, undefined or false. Throws when the deadline passes. An
 * error that `look` throws counts as "not yet", and is in the message at the end.
 */
export async function eventually<Value>(
  look: () => Value | Promise<Value>,
  { what, deadlineMs = DEFAULT_DEADLINE_MS, otherwise }: Waiting,
): Promise<NonNullable<Exclude<Value, false>>> {
  const patientMs = deadlineMs * PATIENCE;
  const deadlineAtMs = monotonicMs() + patientMs;
  let problem = '';
  for (;;) {
    const lookedAtMs = monotonicMs();
    try {
      const value = await look();
      if (value !== null && value !== undefined && value !== false) {
        return value as NonNullable<Exclude<Value, false>>;
      }
      problem = '';
    } catch (error) {
      problem = `; the last look failed: ${(error as Error).message}`;
    }
    const nowMs = monotonicMs();
    if (nowMs >= deadlineAtMs) {
      const instead = otherwise === undefined ? '' : `\n${otherwise()}`;
      throw new Error(`timed out after ${patientMs} ms waiting for ${what}${problem}${instead}`);
    }
    await delay(Math.min(Math.max((nowMs - lookedAtMs) * REST_FACTOR, MIN_POLL_MS), MAX_POLL_MS));
  }
}
