import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import { encodeFilter } from './bpf.ts';
import { notificationFilter } from './notification-filter.ts';

test('every jump of the filter ends inside the program, which ends with a verdict', () => {
  const addresses = ['10.0.0.100', '2001:db8::100'].map((text) => parseIp(text)!);
  const filter = notificationFilter({ linkIndex: 7, addresses });
  for (const [index, [code, whenTrue, whenFalse]] of filter.entries()) {
    if ((code & 7) === 5) assert.ok(index + 1 + Math.max(whenTrue, whenFalse) < filter.length, String(index));
  }
  assert.equal((filter.at(-1)?.[0] ?? 0) & 7, 6);
  assert.equal(encodeFilter(filter).length, filter.length * 8);
});
