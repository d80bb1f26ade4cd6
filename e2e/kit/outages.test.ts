import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { findOutages, longestGapMs, longestOutageMs, type Attempt } from './outages.ts';

function ok(startMs: number, tookMs = 5): Attempt {
  return { startMs, endMs: startMs + tookMs, ok: true, detail: 'host-1' };
}

function failed(startMs: number, tookMs = 250, detail = 'timeout'): Attempt {
  return { startMs, endMs: startMs + tookMs, ok: false, detail };
}

describe('outages of a client', () => {
  test('an outage lasts from the start of the first failure to the end of the next answer', () => {
    const attempts = [ok(0), failed(20), failed(40), failed(60, 1, 'ECONNREFUSED'), ok(300), ok(320)];
    assert.deepEqual(findOutages(attempts), [
      { fromMs: 20, toMs: 305, failed: 3, details: ['timeout', 'ECONNREFUSED'] },
    ]);
    assert.equal(longestOutageMs(attempts), 285);
    assert.equal(longestGapMs(attempts), 300);
  });

  test('an answer to a request that began before the failure does not end the outage', () => {
    assert.equal(longestOutageMs([ok(0, 500), failed(20), ok(400)]), 385);
  });

  test('attempts may come in the order of their ends', () => {
    assert.equal(longestOutageMs([ok(300), ok(320), failed(20), ok(0)]), 285);
  });

  test('one that has not ended is infinite', () => {
    assert.equal(longestOutageMs([ok(0), failed(20)]), Number.POSITIVE_INFINITY);
  });

  test('a brief success inside does not make it two, a long one does', () => {
    assert.equal(findOutages([failed(0), ok(20), failed(60), ok(80)]).length, 1);
    assert.equal(findOutages([failed(0), ok(20), ok(100), failed(160), ok(200)]).length, 2);
  });

  test('no failure, no outage, though a slow answer makes a gap', () => {
    const attempts = [ok(0), ok(20, 200), ok(210)];
    assert.equal(longestOutageMs(attempts), 0);
    assert.equal(longestGapMs(attempts), 210);
  });
});
