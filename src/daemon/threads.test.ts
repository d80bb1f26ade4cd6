import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ended } from './threads.ts';

function startWorker(context: TestContext, code: string): Worker {
  const worker = new Worker(code, { eval: true });
  context.after(() => worker.terminate());
  return worker;
}

test('a thread that ends in time is not ended by force', { timeout: 20_000 }, async (context) => {
  const worker = startWorker(context, `setTimeout(() => process.exit(7), 50)`);
  const exit = once(worker, 'exit');
  await ended(worker, 10_000);
  assert.deepEqual(await exit, [7]);
});

test('a thread that ended before is not waited for', { timeout: 20_000 }, async (context) => {
  const worker = startWorker(context, '');
  await once(worker, 'exit');
  await ended(worker, 3_600_000);
});

test('a thread that hangs is ended by force', { timeout: 20_000 }, async (context) => {
  const worker = startWorker(context, `require('node:worker_threads').parentPort.postMessage(0); for (;;);`);
  await once(worker, 'message');
  const exit = once(worker, 'exit');
  await ended(worker, 10);
  assert.deepEqual(await exit, [1]);
});
