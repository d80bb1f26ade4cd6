/** What a checker throws. */
import type { Schedule } from './schedule.ts';

export class CheckFailure extends Error {
  readonly checker: string;
  readonly atMs: number;

  constructor(checker: string, atMs: number, text: string) {
    super(text);
    this.checker = checker;
    this.atMs = atMs;
  }
}

/** Throws: rule `checker` is broken at this moment, as `text` says. */
export type Fail = (checker: string, text: string) => never;

export function failAt(schedule: Schedule): Fail {
  return (checker, text) => {
    throw new CheckFailure(checker, schedule.nowMs, text);
  };
}
