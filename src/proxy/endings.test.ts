import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endingOf } from './endings.ts';

test('an ending names the side and what became of it: reset, unreachable, or ended from outside', () => {
  assert.equal(endingOf('client', 'ECONNRESET'), 'client_reset');
  assert.equal(endingOf('client', 'EPIPE'), 'client_reset');
  assert.equal(endingOf('backend', ''), 'backend_reset');
  assert.equal(endingOf('client', 'ETIMEDOUT'), 'client_unreachable');
  assert.equal(endingOf('backend', 'EHOSTUNREACH'), 'backend_unreachable');
  assert.equal(endingOf('backend', 'ECONNABORTED'), 'aborted');
});
