/** What a client that asks again and again has suffered: outages, computed from its attempts. Pure. */

/** One request on a connection of its own. Times are CLOCK_MONOTONIC. */
export type Attempt = {
  readonly startMs: number;
  readonly endMs: number;
  readonly ok: boolean;
  /** Who answered, or what went wrong. */
  readonly detail: string;
};

export type Outage = {
  /** Start of the first request that failed. */
  readonly fromMs: number;
  /** End of the first request that was answered, of those started after the last failed one; null: none yet. */
  readonly toMs: number | null;
  readonly failed: number;
  readonly details: readonly string[];
};

/** Failures that a success as brief as this separates are one outage. */
const MERGE_MS = 100;

/** Outages in order of time. `attempts` may come in any order. */
export function findOutages(attempts: readonly Attempt[]): Outage[] {
  const byStart = attempts.toSorted((a, b) => a.startMs - b.startMs);
  const successes = byStart.filter(({ ok }) => ok);
  const outages: Outage[] = [];
  for (const { startMs, detail } of byStart.filter(({ ok }) => !ok)) {
    const toMs = firstAnswerMs(successes, startMs);
    const last = outages.at(-1);
    if (last !== undefined && (last.toMs === null || startMs < last.toMs + MERGE_MS)) {
      const details = last.details.includes(detail) ? last.details : [...last.details, detail];
      outages[outages.length - 1] = { ...last, toMs, failed: last.failed + 1, details };
    } else {
      outages.push({ fromMs: startMs, toMs, failed: 1, details: [detail] });
    }
  }
  return outages;
}

/** Milliseconds that an outage took; infinite while it lasts. */
export function outageMs({ fromMs, toMs }: Outage): number {
  return toMs === null ? Number.POSITIVE_INFINITY : toMs - fromMs;
}

/** The longest outage, ms; 0 when no request failed. */
export function longestOutageMs(attempts: readonly Attempt[]): number {
  return Math.max(0, ...findOutages(attempts).map(outageMs));
}

/**
 * The longest time between two answers that follow one another, ms: also counts requests that were slow but succeeded.
 */
export function longestGapMs(attempts: readonly Attempt[]): number {
  const ends = attempts
    .filter(({ ok }) => ok)
    .map(({ endMs }) => endMs)
    .toSorted((a, b) => a - b);
  return Math.max(0, ...ends.map((endMs, index) => endMs - (ends[index - 1] ?? endMs)));
}

function firstAnswerMs(successesByStart: readonly Attempt[], fromMs: number): number | null {
  const ends = successesByStart.filter(({ startMs }) => startMs >= fromMs).map(({ endMs }) => endMs);
  return ends.length === 0 ? null : Math.min(...ends);
}
