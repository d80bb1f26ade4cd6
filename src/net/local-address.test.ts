import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { isLocalAddress } from './local-address.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);

test('an address of this host is local, in both families', () => {
  assert.equal(isLocalAddress(ip('127.0.0.1')), true);
  assert.equal(isLocalAddress(ip('::1')), true);
});

test('an address for documentation is on no interface of this host, in both families', () => {
  assert.equal(isLocalAddress(ip('192.0.2.1')), false);
  assert.equal(isLocalAddress(ip('2001:db8::1')), false);
});
