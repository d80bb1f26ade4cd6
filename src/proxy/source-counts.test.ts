import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { SourceCounts } from './source-counts.ts';

const LIMIT = 3;
const MAX_SOURCES = 6;

test('whatever comes and goes in two threads, each source has its own count, also where slots collide', () => {
  const source = fc.oneof(
    fc.ipV4().map((text) => `::ffff:${text}`),
    fc.ipV6(),
    fc.nat(200).map((last) => `192.0.2.${last}`),
  );
  const steps = fc.array(fc.record({ takes: fc.boolean(), of: fc.nat(), view: fc.nat(1) }), {
    maxLength: 200,
  });
  const sources = fc.uniqueArray(source, { minLength: 1, maxLength: MAX_SOURCES });
  fc.assert(
    fc.property(sources, steps, fc.integer(), (all, many, seed) => {
      const memory = SourceCounts.createMemory(MAX_SOURCES, seed);
      const views = [new SourceCounts(memory), new SourceCounts(memory)] as const;
      const model = new Map<string, number>();
      for (const { takes, of, view } of many) {
        const name = all[of % all.length] ?? assert.fail();
        const counts = views[view] ?? assert.fail();
        const now = model.get(name) ?? 0;
        if (takes) {
          assert.equal(counts.take(name, LIMIT), now < LIMIT);
          model.set(name, Math.min(LIMIT, now + 1));
        } else if (now > 0) {
          counts.give(name);
          model.set(name, now - 1);
        }
      }
      for (const name of all) {
        for (let left = LIMIT - (model.get(name) ?? 0); left > 0; left -= 1) {
          assert.ok(views[0].take(name, LIMIT), name);
        }
        assert.ok(!views[1].take(name, LIMIT), name);
      }
    }),
  );
});

test('one address is one source, in whatever form the socket has it', () => {
  const counts = new SourceCounts(SourceCounts.createMemory(4, 0));
  assert.ok(counts.take('::ffff:192.0.2.1', 2));
  assert.ok(counts.take('192.0.2.1', 2));
  assert.ok(!counts.take('::ffff:192.0.2.1', 2));
  assert.ok(counts.take('fe80::1%2', 1));
  assert.ok(!counts.take('fe80::1', 1));
});

test('threads that count at the same time lose nothing', async () => {
  const memory = SourceCounts.createMemory(8, 7);
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ SourceCounts }) => {
      const counts = new SourceCounts(workerData.memory);
      let taken = 0;
      for (let round = 0; round < 20_000; round += 1) {
        const source = '192.0.2.' + (round % 7);
        if (counts.take(source, 1_000_000)) taken += 1;
        if (round % 4 !== 0) counts.give(source);
      }
      parentPort.postMessage(taken);
    });`;
  const module = new URL('source-counts.ts', import.meta.url).href;
  const workers = [1, 2, 3].map(() => new Worker(script, { eval: true, workerData: { module, memory } }));
  const taken = await Promise.all(workers.map((worker) => once(worker, 'message')));
  assert.deepEqual(taken.flat(), [20_000, 20_000, 20_000]);
  const counts = new SourceCounts(memory);
  // What three threads left: a quarter of what they took.
  let left = 0;
  for (let last = 0; last < 7; last += 1) {
    for (; !counts.take(`192.0.2.${last}`, 1); left += 1) counts.give(`192.0.2.${last}`);
  }
  assert.equal(left, 15_000);
});
