import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reopening } from './reopening.ts';

test('sockets that fail again and again are opened ever more seldom, within a bound', () => {
  const reopening = new Reopening();
  const delaysMs = [0, 1, 2, 3, 4].map((nowMs) => reopening.failed(nowMs));
  assert.deepEqual(delaysMs, [1000, 2000, 4000, 8000, 8000]);
});

test('only sockets that have lasted end the trouble', () => {
  const reopening = new Reopening();
  reopening.failed(0);
  reopening.opened(1000);
  assert.equal(reopening.failed(2000), 2000, 'opened, and failed at once');
  reopening.opened(4000);
  assert.equal(reopening.failed(64_000), 1000);
  assert.equal(reopening.failed(200_000), 2000, 'not opened in between');
});
