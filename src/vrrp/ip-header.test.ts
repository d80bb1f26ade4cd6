import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type IpAddress, parseIp } from '../ip/address.ts';
import { writeVrrpIpHeader } from './ip-header.ts';

// Debian's keepalived 2.2.7, captured between two network namespaces.
const KEEPALIVED_V3 = hex(
  '01005e0000128a6fc3d12097080045c0002000010000ff70d0900a090001e000001231339601006443610a090064',
);
const KEEPALIVED_V6 = hex(
  '3333000000128a6fc3d1209786dd6c0fbe3b002870fffe80000000000000886fc3fffed12097ff020000000000000000000000000012' +
    '313396020032d10ffe800000000000000000000000000100fd000000000000000000000000000100',
);

test('RFC 9568 5.1.1: the IPv4 header is that of the capture, but for what the kernel fills in', () => {
  const packet = new Uint8Array(20);
  writeVrrpIpHeader(packet, ip('10.9.0.1'), ip('224.0.0.18'), 12);
  const captured = KEEPALIVED_V3.slice(14, 34);
  captured.set([0, 0], 4);
  captured.set([0, 0], 10);
  assert.deepEqual(packet, captured);
});

test('RFC 9568 5.1.2: the IPv6 header is that of the capture, but for the flow label', () => {
  const packet = new Uint8Array(40);
  writeVrrpIpHeader(packet, ip('fe80::886f:c3ff:fed1:2097'), ip('ff02::12'), 40);
  const captured = KEEPALIVED_V6.slice(14, 54);
  captured.set([0, 0, 0], 1);
  assert.deepEqual(packet, captured);
});

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function ip(text: string): IpAddress {
  const address = parseIp(text);
  assert.ok(address !== null, text);
  return address;
}
