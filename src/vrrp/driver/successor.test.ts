import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { parseIp } from '../../ip/address.ts';
import { SUCCESSOR_PATIENCE_MS, Successor } from './successor.ts';

const SOURCE = parseIp('10.0.0.2')!;
const OTHER = parseIp('10.0.0.3')!;
const INTERVAL_MS = 100;

/** When the address may leave, ms after the successor's first advertisement, with others at these moments. */
function leavesAtMs(heardAtMs: readonly number[], source = SOURCE): number[] {
  const successor = new Successor(SOURCE, 0);
  const left: number[] = [];
  let nowMs = 0;
  let timer: { readonly atMs: number; readonly onTime: () => void } | null = null;
  const startTimer = (delayMs: number, onTime: () => void): (() => void) => {
    timer = { atMs: nowMs + delayMs, onTime };
    return () => {
      timer = null;
    };
  };
  successor.whenBound({ startTimer }, () => left.push(nowMs));
  for (nowMs = 1; nowMs < 1000; nowMs += 1) {
    if (heardAtMs.includes(nowMs)) successor.hear(source, INTERVAL_MS, nowMs);
    const due: typeof timer = timer;
    if (due !== null && (due as { atMs: number }).atMs <= nowMs) (due as { onTime: () => void }).onTime();
  }
  return left;
}

describe('the address of a holder that has handed over', () => {
  test('leaves when the successor advertises out of turn, which says that its kernel has bound the address', () => {
    assert.deepEqual(leavesAtMs([2, 102]), [2]);
    assert.deepEqual(leavesAtMs([100, 160, 260]), [160]);
  });

  test('stays while the successor only advertises at its interval, and not for longer than its patience', () => {
    assert.deepEqual(leavesAtMs([100, 200, 300]), [SUCCESSOR_PATIENCE_MS]);
    assert.deepEqual(leavesAtMs([]), [SUCCESSOR_PATIENCE_MS]);
  });

  test('is not concerned by what another node advertises', () => {
    assert.deepEqual(leavesAtMs([2, 4], OTHER), [SUCCESSOR_PATIENCE_MS]);
  });

  test('leaves at once when the successor has bound the address before', () => {
    const successor = new Successor(SOURCE, 0);
    successor.hear(SOURCE, INTERVAL_MS, 1);
    let hasRun = false;
    successor.whenBound({ startTimer: () => assert.fail('a timer') }, () => {
      hasRun = true;
    });
    assert.ok(hasRun);
  });
});
