/** A thousand clients that only read, and when each of them noticed that its connection was gone. */
import { join } from 'node:path';

import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';

export type ReadersTask = { readonly host: string; readonly port: number; readonly count: number };

/** A connection of one of them began, or ended for a reason such as ECONNRESET. Times are CLOCK_MONOTONIC. */
export type ReaderRecord = { readonly reader: number; readonly atMs: number; readonly ended: string | null };

/** How long after some moment the readers' connections ended, and how long until they had new ones. Ascending, ms. */
export type ReaderDelays = {
  readonly ended: readonly number[];
  readonly resumed: readonly number[];
  readonly reasons: Readonly<Record<string, number>>;
};

export class Readers {
  readonly count: number;
  readonly #process: LabProcess;
  readonly #records: ReaderRecord[] = [];
  readonly #connected = new Set<number>();

  constructor(client: Host, task: ReadersTask) {
    this.count = task.count;
    this.#process = client.spawn({
      command: [process.execPath, join(import.meta.dirname, 'readers-process.ts'), JSON.stringify(task)],
      onLine: (line) => this.#record(JSON.parse(line) as ReaderRecord),
    });
  }

  /** How many have a connection, as far as they know. */
  get connected(): number {
    return this.#connected.size;
  }

  /** Waits until every one of them has a connection. */
  async allConnected(): Promise<void> {
    await eventually(() => this.#connected.size === this.count, {
      what: `${this.count} readers to be connected`,
      deadlineMs: 30_000,
      otherwise: () => `${this.#connected.size} are\n${this.#process.stderr}`,
    });
  }

  /**
   * Waits until `count` of them noticed after `fromMs` that their connection was gone. What is known of the ends
   * elsewhere, such as in the proxy's counters, is known before it is here.
   */
  async haveNoticed(fromMs: number, count: number, otherwise: () => string): Promise<void> {
    const noticed = (): number => this.delays(fromMs).ended.length;
    await eventually(() => noticed() >= count, {
      what: `${count} readers to notice`,
      otherwise: () => `${noticed()} did\n${otherwise()}`,
    });
  }

  /** What each reader saw first after `fromMs`. */
  delays(fromMs: number): ReaderDelays {
    const ended = new Map<number, ReaderRecord>();
    const resumed = new Map<number, number>();
    for (const record of this.#records) {
      if (record.atMs < fromMs) continue;
      if (record.ended !== null && !ended.has(record.reader)) ended.set(record.reader, record);
      // The last beginning: an attempt that the lost holder still accepted is none.
      if (record.ended === null) resumed.set(record.reader, record.atMs - fromMs);
    }
    const reasons: Record<string, number> = {};
    for (const { ended: reason } of ended.values()) reasons[reason ?? ''] = (reasons[reason ?? ''] ?? 0) + 1;
    return {
      ended: [...ended.values()].map(({ atMs }) => atMs - fromMs).toSorted((a, b) => a - b),
      resumed: [...resumed.values()].toSorted((a, b) => a - b),
      reasons,
    };
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }

  #record(record: ReaderRecord): void {
    this.#records.push(record);
    if (record.ended === null) this.#connected.add(record.reader);
    else this.#connected.delete(record.reader);
  }
}

/** `median 120 ms, p95 130 ms, last 140 ms (1000)`. */
export function describeDelays(delays: readonly number[]): string {
  const at = (share: number): string =>
    `${(delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? Number.NaN).toFixed(0)} ms`;
  return `median ${at(0.5)}, p95 ${at(0.95)}, last ${at(1)} (${delays.length})`;
}
