import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { isAbandoned } from './abandon.ts';
import { type TrackedBackend, recordCheck, untriedBackend } from './tracker.ts';

const address = (index: number): IpAddress => parseIp(`10.0.0.${index}`) ?? assert.fail();
const THRESHOLDS = { rise: 2, fall: 3 };

/** Checks of several backends, in the order in which they are given: [backend, start in ms, ok]. */
function play(count: number, checks: readonly (readonly [number, number, boolean])[]): boolean[][] {
  const backends: TrackedBackend[] = Array.from({ length: count }, (_, index) =>
    untriedBackend({ address: address(index + 1), port: 6443, local: index === 0 }),
  );
  return checks.map(([index, startedMs, ok]) => {
    const before = backends[index] ?? assert.fail();
    backends[index] = recordCheck(
      before,
      { ok, ready: true, refused: false, detail: '', startedMs, durationMs: 5 },
      THRESHOLDS,
    );
    const all = backends.map(({ health }) => health);
    return all.map((backend) => isAbandoned(backend, all));
  });
}

/** Both are checked each second, the second one 400 ms after the first. */
const rounds = (from: number, to: number, ok: readonly [boolean, boolean]): [number, number, boolean][] =>
  Array.from({ length: to - from }, (_, round): [number, number, boolean][] => [
    [0, (from + round) * 1000, ok[0]],
    [1, (from + round) * 1000 + 400, ok[1]],
  ]).flat();

test('one that stays dead is abandoned one check after it is down', () => {
  const seen = play(2, [...rounds(1, 3, [true, true]), ...rounds(3, 8, [false, true])]);
  const firstAt = seen.findIndex(([first]) => first);
  // Down with the third failed check (round 5), abandoned with the fourth (round 6, its first entry).
  assert.equal(firstAt, 10);
  assert.ok(seen.every(([, second]) => second === false));
});

test('an etcd election, in which both fall and both rise, abandons nobody', () => {
  for (const order of [[...rounds(3, 9, [false, false])], rounds(3, 9, [false, false]).slice(1)]) {
    const seen = play(2, [...rounds(1, 3, [true, true]), ...order, ...rounds(9, 14, [true, true])]);
    assert.ok(seen.flat().every((abandoned) => !abandoned));
  }
});

test('with nobody up nobody is abandoned', () => {
  const seen = play(2, rounds(1, 20, [false, false]));
  assert.ok(seen.flat().every((abandoned) => !abandoned));
});
