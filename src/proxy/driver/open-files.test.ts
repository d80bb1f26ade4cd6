import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientsByOpenFiles } from './open-files.ts';

test('two descriptors for each client are within the limit, beside the pipes and the rest of the process', () => {
  assert.equal(clientsByOpenFiles(1, 20_768), 10_128);
  assert.equal(clientsByOpenFiles(2, 20_768), 10_000);
});

test('there is room for some clients under the smallest limit, and not for more than memory allows', () => {
  assert.equal(clientsByOpenFiles(1, 64), 16);
  assert.equal(clientsByOpenFiles(1, Number.POSITIVE_INFINITY), 65_536);
});

test("the process's own limit is read", () => {
  assert.ok(clientsByOpenFiles(1) >= 16);
});
