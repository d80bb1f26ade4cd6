import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countFalls, isFlapping, MEMORY_MS, withFall } from './flapping.ts';

/**
 * For how long after its return, at 1000 s, a backend that fell so often just before it is held back; whole seconds.
 */
function heldBackSeconds(count: number): number {
  const upSinceMs = 1_000_000;
  const falls = Array.from({ length: count }, (_, index) => upSinceMs - 1 - index).toReversed();
  let seconds = 0;
  while (isFlapping(falls, upSinceMs, upSinceMs + seconds * 1000)) seconds += 1;
  return seconds;
}

test('two falls are tolerated; each further one doubles the time, up to a minute', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6].map(heldBackSeconds), [0, 0, 0, 10, 20, 40, 60]);
});

test('falls are forgotten after five minutes, and no more of them are kept than count', () => {
  const falls = [1, 2, 3].reduce<readonly number[]>((before, atMs) => withFall(before, atMs), []);
  assert.equal(countFalls(falls, 3), 3);
  assert.equal(countFalls(falls, MEMORY_MS + 1), 2);
  assert.deepEqual(withFall(falls, MEMORY_MS + 2), [3, MEMORY_MS + 2]);
  const times = fc.array(fc.integer({ min: 1, max: 100_000 }), { maxLength: 60 });
  fc.assert(
    fc.property(times, (steps) => {
      let nowMs = 0;
      let kept: readonly number[] = [];
      for (const stepMs of steps) kept = withFall(kept, (nowMs += stepMs));
      assert.ok(kept.length <= 6 && kept.every((atMs) => nowMs - atMs < MEMORY_MS));
    }),
  );
});
