import assert from 'node:assert/strict';
import { test } from 'node:test';

import { internetChecksum, pseudoHeaderSum } from './checksum.ts';

const EXAMPLE = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);

test('RFC 1071 3: the checksum of its example, whole or in parts, and 0 once it is among the octets', () => {
  assert.equal(internetChecksum(0, EXAMPLE), 0x220d);
  assert.equal(internetChecksum(0, EXAMPLE.subarray(0, 2), EXAMPLE.subarray(2)), 0x220d);
  assert.equal(internetChecksum(0, EXAMPLE, Uint8Array.of(0x22, 0x0d)), 0);
});

test('RFC 1071 4.1: an odd last octet counts as if a zero followed', () => {
  const odd = EXAMPLE.subarray(0, 7);
  assert.equal(internetChecksum(0, odd), internetChecksum(0, Uint8Array.of(...odd, 0)));
});

test('RFC 8200 8.1: the pseudo-header covers both addresses, the protocol and the length', () => {
  const [source, destination] = [new Uint8Array(16).fill(0xff), new Uint8Array(16).fill(0x01)];
  const header = Uint8Array.of(...source, ...destination, 0, 0, 0x12, 0x34, 0, 0, 0, 58);
  assert.equal(
    internetChecksum(pseudoHeaderSum(source, destination, 58, 0x1234), EXAMPLE),
    internetChecksum(0, header, EXAMPLE),
  );
});
