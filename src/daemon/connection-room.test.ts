import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ConnectionUse, connectionToEnd } from './connection-room.ts';

const NOW_MS = 10_000;
const use = (ageMs: number, isBusy = false): ConnectionUse => ({ isBusy, sinceMs: NOW_MS - ageMs });

/** So many that have rested for a second, and then these. */
function usesOf(resting: number, named: Readonly<Record<string, ConnectionUse>>): Map<string, ConnectionUse> {
  const uses = new Map(Object.entries(named));
  for (let index = 0; index < resting; index += 1) uses.set(`resting ${index}`, use(1000));
  return uses;
}

test('nothing ends while connections are few', () => {
  assert.equal(connectionToEnd(usesOf(63, {}), NOW_MS), null);
});

test('the one that has rested longest ends first, and one that is being answered last', () => {
  assert.equal(connectionToEnd(usesOf(63, { oldest: use(5000) }), NOW_MS), 'oldest');
  assert.equal(connectionToEnd(usesOf(63, { busy: use(5000, true) }), NOW_MS), 'resting 0');
  const busy = Object.fromEntries(
    Array.from({ length: 64 }, (_, index) => [`busy ${index}`, use(1000 + index, true)]),
  );
  assert.equal(connectionToEnd(usesOf(0, busy), NOW_MS), 'busy 63');
});

test('one that is new is spared while its request may be on its way, within limits', () => {
  const fresh = (count: number): Map<string, ConnectionUse> =>
    new Map(Array.from({ length: count }, (_, index) => [`fresh ${index}`, use(100 + index / 1000)]));
  assert.equal(connectionToEnd(fresh(64), NOW_MS), null);
  assert.equal(connectionToEnd(fresh(128), NOW_MS), 'fresh 127');
});
