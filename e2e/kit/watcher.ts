/** A client that keeps one watch open, and what interrupted it. */
import { join } from 'node:path';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';

export type WatcherTask = {
  readonly url: string;
  readonly caFile: string;
  /** Without an event for so long, the watcher gives the connection up itself. */
  readonly silenceMs: number;
};

/** One line of the process: an event of the stream, or the end of a connection. */
export type WatchRecord =
  | { readonly atMs: number; readonly event: { readonly node: string } }
  | { readonly atMs: number; readonly ended: { readonly reason: string } };

/** A time without events, between the last one of a connection and the first one of the next. */
export type Interruption = {
  readonly fromMs: number;
  readonly toMs: number | null;
  /** `ECONNRESET` and such; `end` for an orderly end, `silence` when the watcher itself gave up. */
  readonly reason: string;
};

const SILENCE_MS = 5000;

export class Watcher {
  readonly #process: LabProcess;
  readonly #interruptions: Interruption[] = [];
  #lastEventAtMs = 0;
  #node = '';

  constructor(client: Host, url: string, caFile: string) {
    const task: WatcherTask = { url, caFile, silenceMs: SILENCE_MS };
    this.#process = client.spawn({
      command: [process.execPath, join(import.meta.dirname, 'watcher-process.ts'), JSON.stringify(task)],
      onLine: (line) => this.#record(JSON.parse(line) as WatchRecord),
    });
  }

  /** Name of the node whose events come in. */
  get node(): string {
    return this.#node;
  }

  /** Interruptions that began to show after `fromMs`. */
  interruptions(fromMs: number): readonly Interruption[] {
    return this.#interruptions.filter(({ toMs }) => toMs === null || toMs >= fromMs);
  }

  /** Waits for an event that comes after now. */
  async nextEvent(): Promise<void> {
    const nowMs = monotonicMs();
    await eventually(() => this.#lastEventAtMs > nowMs, {
      what: 'an event of the watch',
      otherwise: () => JSON.stringify(this.#interruptions.slice(-3)) + this.#process.stderr,
    });
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }

  #record(record: WatchRecord): void {
    const last = this.#interruptions.at(-1);
    const isInterrupted = last !== undefined && last.toMs === null;
    if ('event' in record) {
      if (isInterrupted) this.#interruptions[this.#interruptions.length - 1] = { ...last, toMs: record.atMs };
      this.#lastEventAtMs = record.atMs;
      this.#node = record.event.node;
    } else if (!isInterrupted) {
      // Attempts to connect that fail meanwhile belong to the same interruption.
      this.#interruptions.push({ fromMs: this.#lastEventAtMs, toMs: null, reason: record.ended.reason });
    }
  }
}
