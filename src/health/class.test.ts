import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import type { BackendState } from './backend.ts';
import { confirmedAtMs, healthClass } from './class.ts';
import { type TrackedBackend, recordCheck, untriedBackend } from './tracker.ts';

function backend(local: boolean, state: BackendState, latestGoodMs = 0): TrackedBackend {
  const untried = untriedBackend({ address: parseIp('192.0.2.1')!, port: 6443, local });
  return {
    ...untried,
    health: { ...untried.health, state },
    confirmedAtMs: latestGoodMs,
    goodSinceMs: 0,
  };
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
  assert.equal(confirmedAtMs([backend(true, 'up', 100), backend(false, 'up', 900)], 'A', 50), 100);
});

test('B is confirmed by the healthy backend that was last seen good; a down one supports nothing', () => {
  const backends = [backend(true, 'down', 950), backend(false, 'up', 100), backend(false, 'up', 300)];
  assert.equal(confirmedAtMs([...backends, backend(false, 'down', 900)], 'B', 50), 300);
});

test('C is not confirmed by anything', () => {
  assert.equal(confirmedAtMs([backend(true, 'up', 100)], 'C', 50), 0);
});

test('a backend confirms nothing until it has been good for the grace of a shared outage', () => {
  const thresholds = { rise: 1, fall: 3 };
  const checkAt = (tracked: TrackedBackend, startedMs: number, ok: boolean): TrackedBackend =>
    recordCheck(
      tracked,
      { ok, ready: true, refused: false, unverified: false, detail: '', startedMs, durationMs: 1 },
      thresholds,
    );
  let local = checkAt(backend(true, 'up', 900), 1000, false);
  assert.equal(local.health.state, 'up');
  for (const startedMs of [2000, 3000, 4000]) local = checkAt(local, startedMs, true);
  assert.equal(confirmedAtMs([local], 'A', 2500), 0);
  assert.equal(confirmedAtMs([checkAt(local, 5000, true)], 'A', 2500), 5000);
});

/** An API server that has answered since `sinceMs`, the last time at `atMs`, without telling this node its health. */
function unverified(sinceMs: number, atMs: number): TrackedBackend {
  const down = backend(false, 'down');
  const lastCheck = { ok: false, detail: 'status 404', durationMs: 1, atMs };
  return { ...down, health: { ...down.health, unverified: true, lastCheck }, unverifiedSinceMs: sinceMs };
}

test('U: none is up, and one answers that cannot be verified', () => {
  assert.equal(classOf([backend(true, 'down'), unverified(0, 100)]), 'U');
  assert.equal(classOf([backend(false, 'up'), unverified(0, 100)]), 'B');
  assert.equal(classOf([unverified(0, 100)], false), 'C');
});

test('U is confirmed by an API server that has answered for as long as nodes may differ in noticing', () => {
  assert.equal(confirmedAtMs([unverified(100, 149)], 'U', 50), 0);
  assert.equal(confirmedAtMs([unverified(100, 150), unverified(0, 140)], 'U', 50), 150);
});
