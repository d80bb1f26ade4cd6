import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { addressOf, callError, errnoCode, errnoCodeOfText, libc, required } from './libc.ts';
import { EBADF } from './linux.ts';
import { NetError } from './net-error.ts';

describe('errors of the C library', () => {
  test('a failed call is a NetError with the name of its errno and one sentence', () => {
    const result = libc.close(-1);
    assert.equal(result, -EBADF);
    const error = callError(result, 'cannot close');
    assert.ok(error instanceof NetError);
    assert.equal(error.code, 'EBADF');
    assert.match(error.message, /^cannot close: \w/);
  });

  test('what a required call returns is its result, and its failure is thrown', () => {
    assert.equal(required(3, 'cannot open'), 3);
    assert.throws(() => required(-EBADF, 'cannot close'), { code: 'EBADF', message: /^cannot close: \w/ });
  });

  test('the text that strerror makes of an errno leads back to its name', () => {
    for (const [number, code] of [
      [1, 'EPERM'],
      [11, 'EAGAIN'],
      [19, 'ENODEV'],
      [100, 'ENETDOWN'],
      [101, 'ENETUNREACH'],
      [105, 'ENOBUFS'],
    ] as const) {
      assert.equal(errnoCode(number), code);
      assert.equal(errnoCodeOfText(libc.strerror(number)), code);
    }
    assert.equal(errnoCodeOfText('not an error of the system'), 'EIO');
  });
});

test('the address of memory stays what it is while the memory is in use', () => {
  const memory = Buffer.from('four');
  assert.equal(addressOf(memory), addressOf(memory));
  assert.equal(addressOf(memory.subarray(1)), addressOf(memory) + 1n);
});
