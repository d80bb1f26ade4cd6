import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatProblem } from '../config/problem.ts';
import { readArguments, type Invocation } from './arguments.ts';
import { COMMANDS } from './commands.ts';

function read(...args: string[]): Invocation & { readonly told: string[] } {
  const invocation = readArguments(COMMANDS.check, args);
  return { ...invocation, told: invocation.problems.map(formatProblem) };
}

test('own flags and configuration flags are told apart', () => {
  const { options, configFlags, told, help } = read(
    '--config',
    'f.yaml',
    '--vip=10.0.0.1',
    '--json',
    '--peers',
    'a,b',
  );
  assert.deepEqual(
    [...options],
    [
      ['config', 'f.yaml'],
      ['json', true],
    ],
  );
  assert.deepEqual(configFlags, [
    { name: 'vip', value: '10.0.0.1' },
    { name: 'peers', value: 'a,b' },
  ]);
  assert.deepEqual([told, help], [[], false]);
});

test('an empty value is a value', () => {
  assert.deepEqual(read('--admin-address', '', '--admin-socket=').configFlags, [
    { name: 'admin-address', value: '' },
    { name: 'admin-socket', value: '' },
  ]);
});

test('a flag does not swallow the one after it', () => {
  const { configFlags, options, told } = read('--vip', '--json', '--peers', '-x');
  assert.deepEqual(configFlags, []);
  assert.deepEqual([...options.keys()], ['json']);
  assert.deepEqual(told, [
    '-x: unknown flag; flags start with --',
    '--vip: expected a value after it',
    '--peers: expected a value after it',
  ]);
});

test('an unknown flag and its value are one mistake', () => {
  assert.deepEqual(read('--vipp', '10.0.0.1', 'stray', '--jsn').told, [
    '"stray": unexpected argument; flags start with --',
    '--vipp: unknown flag; did you mean --vip?',
    '--jsn: unknown flag; did you mean --json?',
  ]);
});

test('what a command does not take is unknown to it', () => {
  const { told } = {
    told: readArguments(COMMANDS.drain, ['--vip', 'x', '--watch']).problems.map(formatProblem),
  };
  assert.deepEqual(told, [
    '--vip: unknown flag; --help lists those there are',
    '--watch: unknown flag; --help lists those there are',
  ]);
});

test('help is found anywhere', () => {
  assert.ok(read('--vip', '--help').help);
  assert.ok(read('-h').help);
  assert.ok(!read('--', '--help').help);
});

test('no arguments make the reader throw', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '--',
      '-',
      '--vip',
      '--vip=',
      '--json',
      '--json=1',
      '-h',
      '--=',
      '---',
      '__proto__',
      '--__proto__',
    ),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (args) => {
      for (const problem of readArguments(COMMANDS.run, args).problems) formatProblem(problem);
    }),
    { numRuns: 500 },
  );
});
