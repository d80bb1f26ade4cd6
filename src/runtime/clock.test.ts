import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { monotonicMs, suspendedMs } from './clock.ts';

test('the clock is one and the same in every thread', async () => {
  const url = new URL('clock.ts', import.meta.url).href;
  const code = `import(${JSON.stringify(url)}).then(({ monotonicMs }) =>
    require('node:worker_threads').parentPort.postMessage(monotonicMs()))`;
  const beforeMs = monotonicMs();
  const worker = new Worker(code, { eval: true });
  const insideMs = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  assert.ok(beforeMs <= insideMs, `${beforeMs} <= ${insideMs}`);
  assert.ok(insideMs <= monotonicMs());
});

test('the time for which the machine has been suspended is the same a moment later', () => {
  const before = suspendedMs();
  assert.ok(before > -1, `${before}`);
  assert.ok(Math.abs(suspendedMs() - before) < 50, `${before}`);
});
