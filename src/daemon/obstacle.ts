/** What is in the way of taking part, and may go away by itself: waited for, and told once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log/log.ts';

/** Why something cannot be done yet, as one sentence for the operator: what is wrong, where, and what to do. */
export class Obstacle extends Error {
  override readonly name = 'Obstacle';
}

export type Waiting = {
  /** Ends the wait: `untilDone` then rejects with an AbortError. */
  readonly signal: AbortSignal;
  /** Called with each obstacle that differs from the one before, and with null when there is none any more. */
  readonly onObstacle: (text: string | null) => void;
  /** Resolves when another try is worth it before its time; asked for before each try. */
  readonly changed?: () => Promise<void>;
};

/** Between tries: the first, and the longest. kubelet would back off from 10 s to 5 minutes. */
const RETRY_MS = 500;
const LONGEST_RETRY_MS = 5000;

/** Repeats `attempt` until it no longer throws an Obstacle. Every other error rejects at once. */
export async function untilDone<Result>(
  attempt: () => Result | Promise<Result>,
  { signal, onObstacle, changed }: Waiting,
): Promise<Result> {
  let told: string | null = null;
  for (let retryMs = RETRY_MS; ; retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS)) {
    signal.throwIfAborted();
    const change = changed?.();
    try {
      const result = await attempt();
      if (told !== null) onObstacle(null);
      return result;
    } catch (error) {
      if (!(error instanceof Obstacle)) throw error;
      if (error.message !== told) onObstacle(error.message);
      told = error.message;
    }
    const pause = delay(retryMs, undefined, { signal });
    await (change === undefined ? pause : Promise.race([pause, change]));
  }
}

/** One line for each obstacle of `subject`, and one when there is none any more (null). */
export function logObstacle(log: Log, subject: string, text: string | null): void {
  if (text === null) log('info', `${subject}: the wait is over`, { event: 'resumed' });
  else log('error', `waiting for ${subject}: ${text}`, { event: 'waiting' });
}
