import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { monotonicMs } from './clock.ts';

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
