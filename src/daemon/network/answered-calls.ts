/** Calls of the kernel, each with an answer that says how long it took and what for. */
import { readFileSync } from 'node:fs';
import { errorText } from '../../log/error-text.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import type { Answer } from './messages.ts';

export class AnsweredCalls {
  readonly #post: (answer: Answer) => void;

  constructor(post: (answer: Answer) => void) {
    this.#post = post;
  }

  /** Makes the call, which resolves to whether it removed something, and posts the answer. Never rejects. */
  async answer(id: number, call: () => Promise<boolean>): Promise<void> {
    const startedMs = monotonicMs();
    const startedWaitMs = waitedForCpuMs();
    let removed = false;
    let refusal: Answer['refusal'] = null;
    try {
      removed = await call();
    } catch (error) {
      refusal = errorText(error);
    }
    this.#post({
      type: 'answer',
      id,
      durationMs: monotonicMs() - startedMs,
      waitedForCpuMs: waitedForCpuMs() - startedWaitMs,
      removed,
      refusal,
    });
  }
}

/**
 * How long the calling thread has waited for a processor since it began, ms (Documentation/scheduler/sched-stats.rst:
 * the second field). 0 where the kernel does not count it.
 */
function waitedForCpuMs(): number {
  try {
    const nanoseconds = readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1];
    return Number(nanoseconds ?? 0) / 1e6;
  } catch {
    // Without CONFIG_SCHED_INFO: the whole duration then counts as the call's own.
    return 0;
  }
}
