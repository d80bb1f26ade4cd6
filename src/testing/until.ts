/** Waits of tests: on conditions, with a generous deadline. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../runtime/clock.ts';
import { PATIENCE } from './patience.ts';

export const DEADLINE_MS = 8_000 * PATIENCE;
const LOOK_MS = 5;
/** Counters are written each 20 ms, and a busy machine is late. */
const STILL_MS = 200;

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  withinMs = DEADLINE_MS,
): Promise<void> {
  const deadlineMs = monotonicMs() + withinMs;
  while (!(await condition())) {
    assert.ok(
      monotonicMs() < deadlineMs,
      `not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`,
    );
    await delay(LOOK_MS);
  }
}

/** Waits until `read` has given the same number, other than 0, for a while, and `meanwhile` was done at each look. */
export async function untilStill(
  read: () => number,
  what: string,
  meanwhile: () => Promise<unknown> = async () => {},
): Promise<number> {
  const deadlineMs = monotonicMs() + DEADLINE_MS;
  let value = read();
  let sinceMs = monotonicMs();
  while (value === 0 || monotonicMs() - sinceMs < STILL_MS) {
    assert.ok(monotonicMs() < deadlineMs, `not within ${DEADLINE_MS} ms: ${what} is still`);
    await meanwhile();
    await delay(LOOK_MS);
    const now = read();
    if (now !== value) sinceMs = monotonicMs();
    value = now;
  }
  return value;
}
