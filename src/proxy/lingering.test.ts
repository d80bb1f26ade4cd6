import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { isIdle, LINGER_MAX_MS, mayLeave, type Use } from './lingering.ts';

describe('connections of a VIP that has been handed over', () => {
  /** A watch, which has had its latest event some time ago. */
  const WATCH: Use = { ageMs: 60_000, quietMs: 5000, awaitsAnswer: false };

  test('one that only waits is closed at once, one that gets an answer when that is whole', () => {
    assert.equal(isIdle(WATCH), true);
    assert.equal(isIdle({ ...WATCH, quietMs: 0 }), false);
    assert.equal(isIdle({ ...WATCH, quietMs: 29 }), false);
    assert.equal(isIdle({ ...WATCH, quietMs: 30 }), true);
  });

  test('one that has asked is not closed, however long the answer takes', () => {
    assert.equal(isIdle({ ...WATCH, awaitsAnswer: true }), false);
  });

  test('RFC 8446 4.6.1: a young one may be silent, as the server has sent but its tickets', () => {
    assert.equal(isIdle({ ...WATCH, ageMs: 0, quietMs: 0 }), false);
    assert.equal(isIdle({ ...WATCH, ageMs: 999, quietMs: 999 }), false);
    assert.equal(isIdle({ ...WATCH, ageMs: 1000, quietMs: 999 }), true);
  });

  test('the VIP leaves when nobody is left, but not before the successor can have announced itself', () => {
    assert.equal(mayLeave(0, 19), false);
    assert.equal(mayLeave(0, 20), true);
    assert.equal(mayLeave(1, LINGER_MAX_MS - 1), false);
    assert.equal(mayLeave(1, LINGER_MAX_MS), true);
  });
});
