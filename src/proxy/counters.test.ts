import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createProxyCounters, MAX_BACKENDS, ProxyCounters } from './counters.ts';
import { ENDINGS } from './endings.ts';
import type { BackendTotal, ProxyTotal } from './counters.ts';

test('a second view of the same memory reads what the first has written', () => {
  const memory = createProxyCounters();
  const writer = new ProxyCounters(memory);
  assert.equal(writer.addClients(1), 0);
  assert.equal(writer.addClients(1), 1);
  writer.addConnections(1, 2);
  writer.addConnections(1, -1);
  writer.add('accepted');
  writer.addEnding('vip_removed');
  writer.addBackend(1, 'bytesToClient', 5_000_000_000);
  const counts = new ProxyCounters(memory).read(2);
  assert.equal(counts.clients, 2);
  assert.equal(counts.accepted, 1);
  assert.equal(counts.endings.vip_removed, 1);
  assert.equal(counts.backends.length, 2);
  assert.equal(counts.backends[1]?.connections, 1);
  assert.equal(counts.backends[1]?.bytesToClient, 5_000_000_000);
});

test('no two counters share a cell', () => {
  const totals: ProxyTotal[] = [
    'accepted',
    'overLimit',
    'overSourceLimit',
    'forbidden',
    'rateLimited',
    'acceptErrors',
    'pipeShortages',
  ];
  const backendTotals: BackendTotal[] = ['connections', 'connectFailures', 'bytesToBackend', 'bytesToClient'];
  const counters = new ProxyCounters(createProxyCounters());
  let value = 0;
  const next = (): number => (value += 1);
  counters.addClients(next());
  for (const total of totals) counters.add(total, next());
  for (let index = 0; index < MAX_BACKENDS; index += 1) {
    counters.addConnections(index, next());
    for (const total of backendTotals) counters.addBackend(index, total, next());
  }
  counters.addListeners(1);
  for (const ending of ENDINGS) counters.addEnding(ending);
  const counts = counters.read(MAX_BACKENDS);
  assert.deepEqual(Object.values(counts.endings), Array(ENDINGS.length).fill(1));
  assert.equal(counts.listeners, 1);
  const read = [
    counts.clients,
    ...totals.map((total) => counts[total]),
    ...counts.backends.flatMap((backend) => [
      backend.connections,
      backend.connectionsTotal,
      backend.connectFailures,
      backend.bytesToBackend,
      backend.bytesToClient,
    ]),
  ];
  assert.deepEqual(
    read,
    Array.from({ length: value }, (_, index) => index + 1),
  );
});

test('refuses foreign memory and backends beyond its size', () => {
  assert.throws(() => new ProxyCounters(new SharedArrayBuffer(64)), RangeError);
  const counters = new ProxyCounters(createProxyCounters());
  fc.assert(
    fc.property(fc.oneof(fc.integer({ max: -1 }), fc.integer({ min: MAX_BACKENDS })), (index) => {
      assert.throws(() => counters.addConnections(index, 1), RangeError);
      assert.throws(() => counters.addBackend(index, 'connections'), RangeError);
    }),
  );
});

test('a backend is suspect from a failed attempt until a good check that began later', () => {
  const buffer = createProxyCounters();
  const [one, other] = [new ProxyCounters(buffer), new ProxyCounters(buffer)];
  assert.equal(one.isSuspect(1), false);
  one.prove(1, 1000);
  one.suspect(1, 2000);
  assert.equal(other.isSuspect(1), true);
  assert.equal(other.isSuspect(0), false);
  other.prove(1, 1500);
  assert.equal(one.isSuspect(1), true);
  other.prove(1, 2500);
  assert.equal(one.isSuspect(1), false);
});
