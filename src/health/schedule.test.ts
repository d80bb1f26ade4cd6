import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nextCheckMs, outageGraceMs } from './schedule.ts';

test('the next check begins an interval after the last one began, give or take 10 %', () => {
  const last = { startedMs: 5000, endedMs: 5010 };
  assert.equal(nextCheckMs(last, 1000, 0), 5900);
  assert.equal(nextCheckMs(last, 1000, 0.5), 6000);
  assert.ok(nextCheckMs(last, 1000, 1 - Number.EPSILON) <= 6100);
});

test('never before the last check has ended, and never later than it must', () => {
  const ms = fc.double({ min: 0, max: 1e9, noNaN: true });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(
      ms,
      fc.double({ min: 0, max: 60_000, noNaN: true }),
      random,
      (startedMs, durationMs, draw) => {
        const endedMs = startedMs + durationMs;
        const next = nextCheckMs({ startedMs, endedMs }, 1000, draw);
        assert.ok(next >= endedMs);
        assert.ok(next === endedMs || next - startedMs <= 1100.001);
      },
    ),
  );
});

test('nodes that start together drift apart', () => {
  const last = { startedMs: 0, endedMs: 1 };
  assert.notEqual(nextCheckMs(last, 1000, 0.2), nextCheckMs(last, 1000, 0.3));
});

test('the grace covers a check that times out and `rise` more, each a tenth late', () => {
  assert.equal(outageGraceMs({ timeoutMs: 2000, intervalMs: 1000, rise: 2 }), 2000 + 3 * 1100);
});
