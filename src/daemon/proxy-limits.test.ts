import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyLimits } from './proxy-limits.ts';

const proxy = {
  port: 36_443,
  backendPort: 6443,
  workers: 2,
  maxConnections: 'auto',
  maxConnectionsPerSource: 50,
  allowedSources: [],
  acceptRate: 200,
  maxConnectionAgeMs: 1000,
} as const;

const ENOUGH = { byOpenFiles: 9_000, byMemory: 10_000 };

test('auto is what the limit on open files is enough for', () => {
  assert.deepEqual(proxyLimits(proxy, ENOUGH), {
    limits: {
      maxConnections: 9_000,
      maxConnectionsPerSource: 50,
      allowedSources: [],
      acceptsPerSecond: 200,
      maxConnectionAgeMs: 1000,
    },
    warning: null,
  });
});

test('a number of its own is a limit where files are enough for it, and told where they are not', () => {
  const few = proxyLimits({ ...proxy, maxConnections: 10 }, ENOUGH);
  assert.deepEqual([few.limits.maxConnections, few.warning], [10, null]);
  const many = proxyLimits({ ...proxy, maxConnections: 9_001 }, ENOUGH);
  assert.equal(many.limits.maxConnections, 9_000);
  assert.match(many.warning ?? '', /^proxy.maxConnections is 9001, but .* enough for 9000 clients: raise it/);
});

test('auto is no more than what the memory limit is enough for; a number beyond that is kept, and warned of', () => {
  const small = { byOpenFiles: 9_000, byMemory: 500 };
  assert.equal(proxyLimits(proxy, small).limits.maxConnections, 500);
  const asked = proxyLimits({ ...proxy, maxConnections: 600 }, small);
  assert.equal(asked.limits.maxConnections, 600);
  assert.match(
    asked.warning ?? '',
    /memory limit of the container is enough for 500 clients: raise limits.memory/,
  );
});
