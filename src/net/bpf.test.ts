import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodeFilter } from './bpf.ts';
import { NEIGHBOR_ADVERTISEMENTS } from './neighbor-filters.ts';

test('the program is struct sock_filter, as the kernel reads it', () => {
  assert.equal(
    encodeFilter(NEIGHBOR_ADVERTISEMENTS).toString('hex').match(/.{16}/g)?.join(' '),
    // ldb [net + 6]; jeq #58, 0, 3; ldb [net + 40]; jeq #136, 0, 1; ret #65535; ret #0
    '300000000600f0ff 150000033a000000 300000002800f0ff 1500000188000000 06000000ffff0000 0600000000000000',
  );
});
