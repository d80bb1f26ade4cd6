import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogLimit } from './log-limit.ts';

test('one line per key and period; the next one says how many were left out', () => {
  const limit = new LogLimit(1000, 64);
  assert.equal(limit.take('a', 0), 0);
  assert.equal(limit.take('a', 1), null);
  assert.equal(limit.take('a', 999), null);
  assert.equal(limit.take('b', 999), 0);
  assert.equal(limit.take('a', 1000), 2);
  assert.equal(limit.take('a', 2000), 0);
});

test('a flood of different keys shares one budget beyond the table', () => {
  const limit = new LogLimit(1000, 64);
  let lines = 0;
  for (let key = 0; key < 10_000; key += 1) if (limit.take(`key ${key}`, 0) !== null) lines += 1;
  assert.ok(lines <= 65, `${lines} lines`);
});

test('a key whose line is older than the period gives its place to a new one', () => {
  const limit = new LogLimit(60_000, 64);
  for (let stranger = 0; stranger < 64; stranger += 1) limit.take(`stranger ${stranger}`, stranger);
  assert.equal(limit.take('stranger 64', 100), 0, 'the budget of the others');
  assert.equal(limit.take('peer', 200), null);
  assert.equal(limit.take('peer', 60_000), 0);
  assert.equal(limit.take('peer', 60_001), null);
  assert.equal(limit.take('peer', 120_000), 1);
});
