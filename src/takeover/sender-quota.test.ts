import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SenderQuota } from './sender-quota.ts';

test('each sender has a quota of its own, which is used up once a period', () => {
  const quota = new SenderQuota(3, 1000);
  assert.deepEqual(
    [0, 1, 2, 3].map((atMs) => quota.take('a', atMs)),
    [false, false, true, false],
  );
  assert.ok(quota.isUsedUp('a', 999) && !quota.isUsedUp('b', 999));
  assert.equal(quota.take('b', 999), false);
  assert.ok(!quota.isUsedUp('a', 1000), 'a new period');
  assert.equal(quota.take('a', 1000), false);
});
