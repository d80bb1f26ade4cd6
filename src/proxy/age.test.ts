import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTooOld, longestAgeMs } from './age.ts';

test('connections of the same moment have longest ages that differ by up to a tenth in both directions', () => {
  assert.equal(longestAgeMs(10_000, 0), 9_000);
  assert.equal(longestAgeMs(10_000, 0.5), 10_000);
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (random) => {
      const ageMs = longestAgeMs(10_000, random);
      assert.ok(ageMs >= 9_000 && ageMs <= 11_000, `${ageMs}`);
    }),
  );
});

test('only one that is idle is too old', () => {
  const old = { ageMs: 10_001, quietMs: 1_000, isHeldBack: false };
  assert.equal(isTooOld(old, 10_000), true);
  assert.equal(isTooOld({ ...old, ageMs: 10_000 }, 10_000), false);
  assert.equal(isTooOld({ ...old, quietMs: 999 }, 10_000), false);
  assert.equal(isTooOld({ ...old, isHeldBack: true }, 10_000), false);
});
