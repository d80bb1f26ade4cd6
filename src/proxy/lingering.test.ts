import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { isIdle, LINGER_MAX_MS, mayLeave } from './lingering.ts';

describe('connections of a VIP that has been handed over', () => {
  test('one that only waits is closed at once, one that carries a request when it has fallen silent', () => {
    assert.equal(isIdle(60_000, 5000), true);
    assert.equal(isIdle(60_000, 0), false);
    assert.equal(isIdle(60_000, 29), false);
    assert.equal(isIdle(60_000, 30), true);
  });

  test('a young one may be silent: its client computes', () => {
    assert.equal(isIdle(0, 0), false);
    assert.equal(isIdle(199, 199), false);
    assert.equal(isIdle(200, 199), true);
  });

  test('the VIP leaves when nobody is left, but not before the successor can have announced itself', () => {
    assert.equal(mayLeave(0, 19), false);
    assert.equal(mayLeave(0, 20), true);
    assert.equal(mayLeave(1, LINGER_MAX_MS - 1), false);
    assert.equal(mayLeave(1, LINGER_MAX_MS), true);
  });
});
