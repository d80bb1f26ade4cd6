import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeDownIntervalMs, skewTimeMs } from './intervals.ts';

test('RFC 9568 6.1: Skew_Time is ((256 - Priority) * Active_Adver_Interval) / 256', () => {
  assert.equal(skewTimeMs(3, 254, 100), 200 / 256);
  assert.equal(skewTimeMs(3, 128, 1000), 500);
  assert.equal(skewTimeMs(3, 1, 1000), 255_000 / 256);
});

test('RFC 9568 6.1: Active_Down_Interval is three intervals and the skew', () => {
  assert.equal(activeDownIntervalMs(3, 128, 100), 350);
  assert.equal(activeDownIntervalMs(2, 128, 1000), 3500);
});

test('RFC 3768 6.1: version 2 skews by up to a second whatever the interval', () => {
  assert.equal(skewTimeMs(2, 128, 5000), 500);
});

test('an interval of one centisecond still has a skew: two priorities differ', () => {
  assert.ok(skewTimeMs(3, 253, 10) > skewTimeMs(3, 254, 10));
});
