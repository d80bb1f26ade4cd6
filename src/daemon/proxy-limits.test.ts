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

test('auto is what the limit on open files is enough for', () => {
  assert.deepEqual(proxyLimits(proxy, 9_000), {
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
  const few = proxyLimits({ ...proxy, maxConnections: 10 }, 9_000);
  assert.deepEqual([few.limits.maxConnections, few.warning], [10, null]);
  const many = proxyLimits({ ...proxy, maxConnections: 9_001 }, 9_000);
  assert.equal(many.limits.maxConnections, 9_000);
  assert.match(many.warning ?? '', /^proxy.maxConnections is 9001, but .* enough for 9000 clients: raise it/);
});
