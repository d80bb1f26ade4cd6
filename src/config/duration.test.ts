import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatDuration, parseDuration } from './duration.ts';

test('a duration is one number and one unit', () => {
  const cases: [string, number | null][] = [
    ['100ms', 100],
    ['0s', 0],
    ['1s', 1000],
    ['1.5s', 1500],
    ['40.95s', 40_950],
    ['1.001s', 1001],
    ['0.1m', 6000],
    ['2m', 120_000],
    ['', null],
    ['1', null],
    ['s', null],
    ['-1s', null],
    ['+1s', null],
    ['1 s', null],
    [' 1s', null],
    ['1S', null],
    ['.5s', null],
    ['1.s', null],
    ['1e3ms', null],
    ['1m30s', null],
    ['1h', null],
    ['0x10ms', null],
    ['1000000000ms', null],
    ['1s\n', null],
  ];
  for (const [text, expected] of cases) assert.equal(parseDuration(text), expected, JSON.stringify(text));
});

test('whole milliseconds survive formatting and parsing', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999 }), (durationMs) => {
      assert.equal(parseDuration(formatDuration(durationMs)), durationMs);
    }),
  );
});

test('decimal fractions of a second that are whole milliseconds are exact', () => {
  fc.assert(
    fc.property(fc.nat(99_999), fc.nat(999), (seconds, thousandths) => {
      const text = `${seconds}.${String(thousandths).padStart(3, '0')}s`;
      assert.equal(parseDuration(text), seconds * 1000 + thousandths);
    }),
  );
});

test('no text makes the parser throw or return a negative or endless duration', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const durationMs = parseDuration(text);
      assert.ok(durationMs === null || (Number.isFinite(durationMs) && durationMs >= 0));
    }),
  );
});

test('durations are written with the largest unit that keeps them short', () => {
  assert.deepEqual([0, 10, 999, 1000, 1500, 60_000, 61_000].map(formatDuration), [
    '0s',
    '10ms',
    '999ms',
    '1s',
    '1.5s',
    '1m',
    '61s',
  ]);
});
