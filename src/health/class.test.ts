import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import type { BackendState } from './backend.ts';
import { confirmedAtMs, healthClass } from './class.ts';
import { type TrackedBackend, untriedBackend } from './tracker.ts';

function backend(local: boolean, state: BackendState, latestGoodMs = 0): TrackedBackend {
  const untried = untriedBackend({ address: parseIp('192.0.2.1')!, port: 6443, local });
  return { ...untried, health: { ...untried.health, state }, confirmedAtMs: latestGoodMs };
}

const classOf = (backends: readonly TrackedBackend[], listening = true): string =>
  healthClass(
    backends.map(({ health }) => health),
    listening,
  );

test('A: the local backend is up, whatever the others are', () => {
  assert.equal(classOf([backend(true, 'up'), backend(false, 'down'), backend(false, 'unknown')]), 'A');
  assert.equal(classOf([backend(false, 'up'), backend(true, 'up')]), 'A');
});

test("B: only a peer's backend is up", () => {
  assert.equal(classOf([backend(true, 'down'), backend(false, 'down'), backend(false, 'up')]), 'B');
  assert.equal(classOf([backend(true, 'unknown'), backend(false, 'up')]), 'B');
});

test('C: nothing is up, or the proxy does not listen', () => {
  assert.equal(classOf([]), 'C');
  assert.equal(classOf([backend(true, 'down'), backend(false, 'unknown')]), 'C');
  assert.equal(classOf([backend(true, 'up'), backend(false, 'up')], false), 'C');
});

test('A is confirmed by the local backend alone', () => {
  assert.equal(confirmedAtMs([backend(true, 'up', 100), backend(false, 'up', 900)], 'A'), 100);
});

test('B is confirmed by the healthy backend that was last seen good; a down one supports nothing', () => {
  const backends = [backend(true, 'down', 950), backend(false, 'up', 100), backend(false, 'up', 300)];
  assert.equal(confirmedAtMs([...backends, backend(false, 'down', 900)], 'B'), 300);
});

test('C is not confirmed by anything', () => {
  assert.equal(confirmedAtMs([backend(true, 'up', 100)], 'C'), 0);
});
