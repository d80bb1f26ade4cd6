import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createDurations, DURATION_BUCKETS_MS, observeDuration } from './durations.ts';

test('each duration is in the first bucket that it fits, and what fits none is in the last', () => {
  const durations = createDurations();
  for (const ms of [0, 1, 1.001, 20, 1000, 1000.5, 60_000]) observeDuration(durations, ms);
  assert.deepEqual(durations.buckets, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1]);
  assert.equal(durations.buckets.length, DURATION_BUCKETS_MS.length + 1);
  assert.equal(durations.maxMs, 60_000);
  assert.equal(Math.round(durations.sumMs), 62_023);
});
