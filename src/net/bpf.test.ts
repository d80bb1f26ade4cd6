import assert from 'node:assert/strict';
import { test } from 'node:test';

import { allOf, encodeFilter, octetIs } from './bpf.ts';

test('the program is struct sock_filter, as the kernel reads it', () => {
  assert.equal(
    encodeFilter(allOf([...octetIs(20, 58), ...octetIs(54, 136)]))
      .toString('hex')
      .match(/.{16}/g)
      ?.join(' '),
    // ldb [20]; jeq #58, 0, 3; ldb [54]; jeq #136, 0, 1; ret #65535; ret #0
    '3000000014000000 150000033a000000 3000000036000000 1500000188000000 06000000ffff0000 0600000000000000',
  );
});
