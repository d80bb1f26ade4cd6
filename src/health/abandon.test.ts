import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { Abandonment } from './abandon.ts';
import { type TrackedBackend, recordCheck, untriedBackend } from './tracker.ts';

const address = (index: number): IpAddress => parseIp(`10.0.0.${index}`) ?? assert.fail();
const THRESHOLDS = { rise: 2, fall: 3 };

/** Checks of several backends, in the order in which they are given: [backend, start in ms, ok]. */
function play(count: number, checks: readonly (readonly [number, number, boolean])[]): boolean[][] {
  const backends: TrackedBackend[] = Array.from({ length: count }, (_, index) =>
    untriedBackend({ address: address(index + 1), port: 6443, local: index === 0 }),
  );
  const abandonment = new Abandonment();
  return checks.map(([index, startedMs, ok]) => {
    const before = backends[index] ?? assert.fail();
    backends[index] = recordCheck(
      before,
      { ok, ready: true, refused: false, unverified: false, detail: '', startedMs, durationMs: 5 },
      THRESHOLDS,
    );
    const all = backends.map(({ health }) => health);
    const abandoned = abandonment.after(all);
    return all.map(({ id }) => abandoned.has(id));
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

test('one that is silent is abandoned too, though others pass several checks during each of its own', () => {
  // Each of its checks takes 2 s, so that it is known 2 s after it began.
  const other = (from: number, to: number): [number, number, boolean][] =>
    Array.from({ length: (to - from) / 1000 }, (_, round) => [1, from + round * 1000, true]);
  const silent = (startMs: number): [number, number, boolean][] => [
    ...other(startMs + 400, startMs + 2400),
    [0, startMs, false],
  ];
  const seen = play(2, [
    ...rounds(1, 3, [true, true]),
    ...[3000, 5000, 7000, 9000].flatMap((startMs) => silent(startMs)),
    ...other(11_400, 13_400),
  ]);
  // Down with the third, from 7000 on; abandoned with the fourth, and from then on.
  assert.deepEqual(
    seen.map(([first]) => first),
    [...Array.from({ length: 15 }, () => false), true, true, true],
  );
});

test('one that stays dead stays abandoned until it passes a check, or nobody else does', () => {
  const dead = [...rounds(1, 3, [true, true]), ...rounds(3, 8, [false, true])];
  const onlyFirst = (seen: boolean[][]): (boolean | undefined)[] => seen.slice(10).map(([first]) => first);
  assert.deepEqual(onlyFirst(play(2, dead)), [true, true, true, true]);
  assert.equal(play(2, [...dead, [0, 8000, true]]).at(-1)?.[0], false);
  const alsoOther = [...dead, [1, 8400, false], [0, 9000, false]] as const;
  assert.equal(play(2, alsoOther).at(-1)?.[0], false);
  // The other one passes again: what it passed before its own failure does not count any more.
  assert.equal(play(2, [...alsoOther, [1, 9400, true]]).at(-1)?.[0], false);
  assert.equal(play(2, [...alsoOther, [1, 9400, true], [0, 10_000, false]]).at(-1)?.[0], true);
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
