import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import type { BackendHealth } from '../health/backend.ts';
import { BackendStates } from './backend-states.ts';

const healthOf = (node: number, changes: Partial<BackendHealth> = {}): BackendHealth => ({
  id: `10.0.0.${node}:6443`,
  address: parseIp(`10.0.0.${node}`) ?? assert.fail(),
  port: 6443,
  local: node === 1,
  state: 'up',
  sinceMs: 0,
  misconfigured: false,
  unverified: false,
  withheld: null,
  lastCheck: { ok: true, detail: '200', durationMs: 3, atMs: 0 },
  ...changes,
});
const failedAt = (atMs: number) => ({ ok: false, detail: 'timeout', durationMs: 3, atMs });
const goodAt = (atMs: number) => ({ ok: true, detail: '200', durationMs: 3, atMs });

test('the proxy is sent each backend with its address once, and again only when a state has changed', () => {
  const states = new BackendStates();
  const before = [healthOf(1), healthOf(2, { state: 'unknown', lastCheck: null })];
  assert.deepEqual(states.after(before), [
    { id: '10.0.0.1:6443', host: '10.0.0.1', port: 6443, local: true, state: 'up' },
    { id: '10.0.0.2:6443', host: '10.0.0.2', port: 6443, local: false, state: 'unknown' },
  ]);
  assert.equal(states.after([healthOf(1, { lastCheck: goodAt(1000) }), before[1] ?? assert.fail()]), null);
  assert.deepEqual(
    states.after([healthOf(1), healthOf(2)])?.map(({ state }) => state),
    ['up', 'up'],
  );
});

test('a backend that is up but withheld gets no new clients, for either reason', () => {
  for (const withheld of ['notReady', 'flapping'] as const)
    assert.equal(new BackendStates().after([healthOf(1, { withheld })])?.[0]?.state, 'draining');
});

test('a backend that is down keeps its connections until another one has outlived it', () => {
  const states = new BackendStates();
  const down = { state: 'down', sinceMs: 1000 } as const;
  const stateOfFirst = (first: Partial<BackendHealth>, second: Partial<BackendHealth>) =>
    states.after([healthOf(1, first), healthOf(2, second)])?.[0]?.state;
  assert.equal(
    stateOfFirst({ ...down, lastCheck: failedAt(1000) }, { ...down, lastCheck: failedAt(1100) }),
    'failing',
  );
  assert.equal(stateOfFirst({ ...down, lastCheck: failedAt(1000) }, { lastCheck: goodAt(2100) }), 'failing');
  assert.equal(stateOfFirst({ ...down, lastCheck: failedAt(3000) }, { lastCheck: goodAt(2100) }), 'down');
});
