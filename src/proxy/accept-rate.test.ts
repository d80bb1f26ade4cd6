import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AcceptRate } from './accept-rate.ts';

const started = (perSecond: number): AcceptRate => new AcceptRate(AcceptRate.createMemory(), perSecond);

test('in no window are there more than the rate allows, and nobody waits longer than for one token', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.array(fc.double({ min: 0, max: 500, noNaN: true }), { maxLength: 200 }),
      (perSecond, gapsMs) => {
        const rate = started(perSecond);
        let nowMs = 10_000;
        let taken = 0;
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          const waitMs = rate.waitMs(nowMs);
          if (waitMs === 0) {
            rate.take(nowMs);
            taken += 1;
          } else assert.ok(waitMs <= 1000 / perSecond + 0.001);
        }
        assert.ok(taken <= perSecond + ((nowMs - 10_000) * perSecond) / 1000 + 0.001);
      },
    ),
  );
});

test('after the wait there is a token', () => {
  const rate = started(1);
  assert.equal(rate.waitMs(5000), 0);
  rate.take(5000);
  assert.equal(rate.waitMs(5000), 1000);
  assert.equal(rate.waitMs(6000), 0);
});

test('0 is no limit', () => {
  const rate = started(0);
  for (let count = 0; count < 10_000; count += 1) {
    assert.equal(rate.waitMs(0), 0);
    rate.take(0);
  }
});

test('threads share the rate, and who looked at the same moment as another makes the next one wait for both', () => {
  const memory = AcceptRate.createMemory();
  const [one, other] = [new AcceptRate(memory, 2), new AcceptRate(memory, 2)];
  one.take(5000);
  assert.deepEqual([one.waitMs(5000), other.waitMs(5000)], [0, 0]);
  one.take(5000);
  other.take(5000);
  assert.deepEqual([one.waitMs(5000), other.waitMs(5000)], [1000, 1000]);
});
