import assert from 'node:assert/strict';
import { test } from 'node:test';

import { judgeFileLimit } from './host.ts';

function limits(soft: string): string {
  return `Limit                     Soft Limit           Hard Limit           Units
Max processes             127432               127432               processes
Max open files            ${soft.padEnd(20)} 1048576              files
`;
}

test('few open files are a warning, with what they are enough for', () => {
  assert.deepEqual(judgeFileLimit(limits('1024')).level, 'warn');
  assert.match(judgeFileLimit(limits('1024')).message, /1024 open files has room for about 512 clients/);
  assert.equal(judgeFileLimit(limits('1048576')).level, 'ok');
  assert.equal(judgeFileLimit(limits('unlimited')).level, 'ok');
});
