import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeReserved } from './reserved.ts';

const RANGE = '32768\t60999\n';

test('a port that the kernel may give to a connection is a warning that says how to reserve it', () => {
  for (const reserved of ['\n', '8080,36444-36500\n', '36442\n']) {
    const { level, message, fix } = judgeReserved(36_443, RANGE, reserved);
    assert.equal(level, 'warn', reserved);
    assert.match(message, /may give 36443 to a connection of this node \(32768 to 60999\)/);
    assert.match(fix ?? '', /add 36443 to net\.ipv4\.ip_local_reserved_ports/);
  }
});

test('one that is reserved, by itself or within a range, is good', () => {
  for (const reserved of ['36443\n', '8080,36443\n', '36000-37000\n']) {
    assert.equal(judgeReserved(36_443, RANGE, reserved).level, 'ok', reserved);
  }
});

test('one outside of the range needs no reserving', () => {
  for (const port of [6443, 32_767, 61_000]) assert.equal(judgeReserved(port, RANGE, '\n').level, 'ok');
  assert.equal(judgeReserved(32_768, RANGE, '\n').level, 'warn');
  assert.equal(judgeReserved(60_999, RANGE, '\n').level, 'warn');
});
