import assert from 'node:assert/strict';
import { test } from 'node:test';

import { describeAge } from './status.ts';
import { table, wrap } from './terminal.ts';

test('columns are as wide as their widest cell, and lines have no trailing spaces', () => {
  assert.deepEqual(
    table([
      ['A', 'LONG', 'C'],
      ['wide cell', 'x', ''],
      ['b', '', 'y'],
    ]),
    ['A          LONG  C', 'wide cell  x', 'b                y'],
  );
});

test('text is broken at spaces, and a word that is too long has a line of its own', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('a incomprehensible b', 5), ['a', 'incomprehensible', 'b']);
  assert.deepEqual(wrap('', 5), ['']);
});

test('ages are told in their two largest units', () => {
  const ages: [number, string][] = [
    [0, '0s'],
    [0.9, '0s'],
    [59, '59s'],
    [60, '1m'],
    [61.5, '1m 1s'],
    [3600, '1h'],
    [3601, '1h'],
    [90_000, '1d 1h'],
  ];
  for (const [seconds, text] of ages) assert.equal(describeAge(seconds), text);
});
