import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import fc from 'fast-check';

import { readStatements, type Statement } from './keepalived-syntax.ts';

type Plain = readonly [line: number, words: string, block?: readonly Plain[]];

const plain = ({ keyword, words, line, block }: Statement): Plain => {
  const text = [keyword, ...words].join(' ');
  return block === null ? [line, text] : [line, text, block.map(plain)];
};
const read = (text: string): readonly Plain[] => readStatements(text).map(plain);

suite('keepalived.conf(5), its form', () => {
  test('a keyword with its words is a line, and a block may begin on the next one', () => {
    assert.deepEqual(read('global_defs\n{\n  router_id A\n}\nvrrp_instance V {\n priority 5\n}\n'), [
      [1, 'global_defs', [[3, 'router_id A']]],
      [5, 'vrrp_instance V', [[6, 'priority 5']]],
    ]);
  });

  test('a block on one line, and what follows it', () => {
    assert.deepEqual(read('unicast_peer { 10.0.0.1 }\npriority 5'), [
      [1, 'unicast_peer', [[1, '10.0.0.1']]],
      [2, 'priority 5'],
    ]);
  });

  test('# and ! begin comments anywhere, but not between quotes', () => {
    assert.deepEqual(read('! a\npriority 5 # b\nscript "/bin/a # b" c'), [
      [2, 'priority 5'],
      [3, 'script /bin/a # b c'],
    ]);
  });

  test('a brace that closes nothing is passed over, and one that nothing closes ends with the file', () => {
    assert.deepEqual(read('}\na 1\nb {\nc 2'), [
      [2, 'a 1'],
      [3, 'b', [[4, 'c 2']]],
    ]);
  });

  test('any text is read without an exception', () => {
    const text = fc.string({
      unit: fc.constantFrom('{', '}', '\n', '"', '#', ' ', '\\', 'a'),
      maxLength: 200,
    });
    fc.assert(fc.property(text, (value) => Array.isArray(readStatements(value))));
    assert.equal(readStatements('{'.repeat(500_000)).length, 1);
  });
});
