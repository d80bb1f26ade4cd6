/** A client that polls the VIP, and what it has suffered. */
import { join } from 'node:path';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';
import { findOutages, longestGapMs, longestOutageMs, type Attempt } from './outages.ts';

export type ClientRhythm = { readonly intervalMs: number; readonly timeoutMs: number };

/** The timeout: long enough for a busy machine, short enough that a black hole shows. */
const DEFAULT_RHYTHM: ClientRhythm = { intervalMs: 20, timeoutMs: 250 };
/** So many answers in a row, half a second of them, mean that the service is back. */
const STEADY_COUNT = 25;

export type ClientTask = ClientRhythm & { readonly url: string; readonly caFile: string };

/** What the client saw since some moment. */
export type Disruption = {
  readonly requests: number;
  readonly failed: number;
  /** Of those that failed, the ones that the client has not given up itself: refused, reset, cut short. */
  readonly errors: number;
  /** 0 when nothing failed. */
  readonly outageMs: number;
  /** Between answers; about the polling interval when nothing happened. */
  readonly longestGapMs: number;
  /** Kinds of failure, such as `timeout` and `ECONNRESET`. */
  readonly failures: readonly string[];
};

export class PollingClient {
  readonly #process: LabProcess;
  readonly #url: string;
  readonly #attempts: Attempt[] = [];

  constructor(client: Pick<Host, 'spawn'>, url: string, caFile: string, rhythm: Partial<ClientRhythm> = {}) {
    this.#url = url;
    const task: ClientTask = { url, caFile, ...DEFAULT_RHYTHM, ...rhythm };
    this.#process = client.spawn({
      command: [process.execPath, join(import.meta.dirname, 'client-process.ts'), JSON.stringify(task)],
      onLine: (line) => this.#attempts.push(JSON.parse(line) as Attempt),
    });
  }

  /** Attempts started at `fromMs` or later that have ended. */
  attempts(fromMs: number): readonly Attempt[] {
    return this.#attempts.filter(({ startMs }) => startMs >= fromMs);
  }

  /** Waits until half a second of requests, all started at `fromMs` or later, has been answered without a failure. */
  async steady(fromMs = monotonicMs(), deadlineMs = 30_000): Promise<void> {
    await eventually(
      () => {
        const last = this.attempts(fromMs).slice(-STEADY_COUNT);
        return last.length === STEADY_COUNT && last.every(({ ok }) => ok);
      },
      {
        what: `steady answers from ${this.#url}`,
        deadlineMs,
        otherwise: () => `${this.describe(fromMs)}\n${this.#process.stderr}`,
      },
    );
  }

  /** What requests suffered that were under way at `fromMs` or began later. */
  disruption(fromMs: number): Disruption {
    const attempts = this.#attempts.filter(({ endMs }) => endMs >= fromMs);
    const lastBefore = this.#attempts.findLast(({ ok, endMs }) => ok && endMs < fromMs);
    const failures = attempts.filter(({ ok }) => !ok);
    return {
      requests: attempts.length,
      failed: failures.length,
      errors: failures.filter(({ detail }) => detail !== 'timeout').length,
      outageMs: longestOutageMs(attempts),
      longestGapMs: longestGapMs(lastBefore === undefined ? attempts : [lastBefore, ...attempts]),
      failures: [...new Set(failures.map(({ detail }) => detail))],
    };
  }

  /** Names of nodes that answered since `fromMs`. */
  answeredBy(fromMs: number): ReadonlySet<string> {
    return new Set(
      this.attempts(fromMs)
        .filter(({ ok }) => ok)
        .map(({ detail }) => detail),
    );
  }

  describe(fromMs: number): string {
    const outages = findOutages(this.attempts(fromMs)).map(
      ({ fromMs: startMs, toMs, failed, details }) =>
        `  ${(startMs - fromMs).toFixed(0).padStart(7)} ms  no answer for ` +
        `${toMs === null ? 'ever' : `${(toMs - startMs).toFixed(0)} ms`}, ${failed} failed: ${details.join(', ')}`,
    );
    return [`client of ${this.#url}: ${this.attempts(fromMs).length} requests`, ...outages].join('\n');
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}

/** A disruption for people: `outage 280 ms (14 of 60 requests failed: timeout; longest gap 301 ms)`. */
export function describeDisruption(disruption: Disruption): string {
  const { requests, failed, outageMs, longestGapMs: gapMs, failures } = disruption;
  const what =
    failed === 0 ? 'no request failed' : `${failed} of ${requests} requests failed: ${failures.join(', ')}`;
  return `outage ${outageMs.toFixed(0)} ms (${what}; longest gap ${gapMs.toFixed(0)} ms)`;
}
