import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLateness, LATENESS_BUCKETS_MS, observeLateness } from './lateness.ts';

test('each delay is in the first bucket that it fits, and what fits none is in the last', () => {
  const lateness = createLateness();
  for (const lateMs of [0, 1, 1.001, 20, 1000, 1000.5, 60_000]) observeLateness(lateness, lateMs);
  assert.deepEqual(lateness.buckets, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1, 2]);
  assert.equal(lateness.buckets.length, LATENESS_BUCKETS_MS.length + 1);
  assert.equal(lateness.maxMs, 60_000);
  assert.equal(Math.round(lateness.sumMs), 62_023);
});
