import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../ip/address.ts';
import { type CheckOutcome, type TrackedBackend, recordCheck, untriedBackend } from './tracker.ts';

const UNTRIED = untriedBackend({ address: parseIp('fd00::1')!, port: 6443, local: true });

function outcome(ok: boolean, startedMs: number): CheckOutcome {
  return {
    ok,
    ready: true,
    refused: false,
    unverified: false,
    detail: ok ? '200' : 'status 500',
    startedMs,
    durationMs: 3,
  };
}

/** The backend after checks that began at 1000, 1001, ... */
function after(results: readonly boolean[], thresholds: { rise: number; fall: number }): TrackedBackend {
  return results.reduce(
    (backend, ok, index) => recordCheck(backend, outcome(ok, 1000 + index), thresholds),
    UNTRIED,
  );
}

const stateAfter = (results: readonly boolean[], rise: number, fall: number): string =>
  after(results, { rise, fall }).health.state;

test('a backend is unknown before its first check, and named by address and port', () => {
  assert.equal(UNTRIED.health.state, 'unknown');
  assert.equal(UNTRIED.health.lastCheck, null);
  assert.equal(UNTRIED.health.id, '[fd00::1]:6443');
});

test('the first check decides at once, whatever rise and fall are', () => {
  assert.equal(stateAfter([true], 5, 5), 'up');
  assert.equal(stateAfter([false], 5, 5), 'down');
});

test('fall: only that many failures in a row take a backend down', () => {
  assert.equal(stateAfter([true, false, false], 2, 3), 'up');
  assert.equal(stateAfter([true, false, false, false], 2, 3), 'down');
  assert.equal(stateAfter([true, false, false, true, false, false], 2, 3), 'up');
});

test('rise: only that many good checks in a row bring a backend up', () => {
  assert.equal(stateAfter([false, true], 2, 3), 'down');
  assert.equal(stateAfter([false, true, true], 2, 3), 'up');
  assert.equal(stateAfter([false, true, false, true], 2, 3), 'down');
});

test('rise and fall: the state is that of the latest long enough run', () => {
  const count = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
      count,
      count,
      (results, rise, fall) => {
        // By the definition, over the whole history rather than step by step.
        let expected = results[0]!;
        for (let end = 1; end <= results.length; end += 1) {
          const wanted = !expected;
          const needed = wanted ? rise : fall;
          const run = results.slice(Math.max(1, end - needed), end);
          if (run.length === needed && run.every((ok) => ok === wanted)) expected = wanted;
        }
        assert.equal(stateAfter(results, rise, fall), expected ? 'up' : 'down');
      },
    ),
  );
});

test('confirmedAtMs is the start of the latest good check, whatever the state', () => {
  assert.equal(UNTRIED.confirmedAtMs, 0);
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }), (results) => {
      const latest = results.lastIndexOf(true);
      assert.equal(after(results, { rise: 2, fall: 3 }).confirmedAtMs, latest < 0 ? 0 : 1000 + latest);
    }),
  );
});

test('the last check is kept', () => {
  const backend = recordCheck(UNTRIED, { ...outcome(true, 7), detail: 'status 401' }, { rise: 2, fall: 3 });
  assert.equal(backend.health.state, 'up');
  assert.deepEqual(backend.health.lastCheck, { ok: true, detail: 'status 401', durationMs: 3, atMs: 7 });
});

test('a server that refuses checks is misconfigured after 10 s of it, as one that starts refuses them for a moment', () => {
  const misconfiguredAfter = (...checks: readonly [atMs: number, refused: boolean][]): boolean =>
    checks.reduce(
      (backend, [atMs, refused]) =>
        recordCheck(backend, { ...outcome(true, atMs), refused }, { rise: 2, fall: 3 }),
      UNTRIED,
    ).health.misconfigured;
  assert.equal(misconfiguredAfter([5000, true], [14_999, true]), false);
  assert.equal(misconfiguredAfter([5000, true], [15_000, true]), true);
  assert.equal(misconfiguredAfter([5000, true], [9000, false], [15_000, true]), false);
  assert.equal(misconfiguredAfter([5000, true], [15_000, true], [16_000, false]), false);
});

test('flap damping: a backend that keeps falling is up again by rise, and gets no new clients until it has lasted', () => {
  const thresholds = { rise: 1, fall: 1 };
  let backend = UNTRIED;
  let atMs = 0;
  const check = (ok: boolean): void => {
    atMs += 1000;
    backend = recordCheck(backend, outcome(ok, atMs), thresholds);
  };
  for (const ok of [true, false, true, false, true]) check(ok);
  assert.deepEqual([backend.health.state, backend.health.withheld], ['up', null]);
  check(false);
  check(true);
  assert.deepEqual([backend.health.state, backend.health.withheld], ['up', 'flapping']);
  assert.equal(backend.health.lastCheck?.detail, '200, but it has fallen 3 times within 5 minutes');
  for (let count = 0; count < 9; count += 1) check(true);
  assert.equal(backend.health.withheld, 'flapping');
  check(true);
  assert.deepEqual([backend.health.withheld, backend.health.lastCheck?.detail], [null, '200']);
  backend = recordCheck(backend, { ...outcome(true, atMs + 1000), ready: false }, thresholds);
  assert.equal(backend.health.withheld, 'notReady');
});

test('a failed check that takes a backend down, and the first check of all, are no two falls', () => {
  const { falls, health } = after([false, true, false, false, false], { rise: 1, fall: 3 });
  assert.deepEqual([falls, health.state], [[1004], 'down']);
});
