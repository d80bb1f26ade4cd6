/**
 * Keeps one watch open, as a kubelet does: only reads, and connects again when the connection ends. Prints a line of
 * JSON for each event and each end. Argument 1: a `WatcherTask` as JSON.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { WatcherTask, WatchRecord } from './watcher.ts';

const RECONNECT_DELAY_MS = 20;

const { url, caFile, silenceMs } = JSON.parse(process.argv[2] ?? '') as WatcherTask;
const options = { ca: readFileSync(caFile), agent: false };

function print(record: WatchRecord): void {
  console.log(JSON.stringify(record));
}

/** Resolves with what ended the watch. */
function watchOnce(): Promise<string> {
  return new Promise((resolve) => {
    const asked = request(url, options, (response) => {
      response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      response.on('end', () => resolve('end'));
      createInterface({ input: response })
        .on('line', (line) => {
          const { node } = JSON.parse(line) as { node: string };
          print({ atMs: monotonicMs(), event: { node } });
        })
        .on('error', () => {
          // The response's own error tells.
        });
    });
    // Nothing has come for so long: the client-go way out, only sooner.
    asked.setTimeout(silenceMs, () =>
      asked.destroy(Object.assign(new Error('silence'), { code: 'silence' })),
    );
    asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    asked.end();
  });
}

for (;;) {
  const reason = await watchOnce();
  print({ atMs: monotonicMs(), ended: { reason } });
  await delay(RECONNECT_DELAY_MS);
}
