import assert from 'node:assert/strict';
import { test } from 'node:test';

import { allOf, encodeFilter, octetIs, withFilterProgram } from './bpf.ts';
import { addressOf } from './libc.ts';

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

test('the instructions live as long as the structure that points to them', () => {
  const filter = allOf(octetIs(20, 58));
  withFilterProgram(filter, (program) => {
    assert.deepEqual([program.length, program.readUInt16LE(0)], [16, filter.length]);
    const pointed = Buffer.from(program.buffer, program.byteOffset + program.length);
    assert.equal(program.readBigUInt64LE(8), addressOf(pointed));
    assert.deepEqual(pointed, encodeFilter(filter));
  });
});
