import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readIpv4Header, writeIpHeader } from './ip.ts';

// Debian's keepalived 2.2.7, captured between two network namespaces.
const KEEPALIVED_V3 = hex(
  '01005e0000128a6fc3d12097080045c0002000010000ff70d0900a090001e000001231339601006443610a090064',
);

test('an IPv4 header says where the payload lies: options before it, padding after it', () => {
  const packet = KEEPALIVED_V3.slice(14);
  assert.deepEqual(readIpv4Header(packet), { payloadStart: 20, payloadEnd: 32, ttl: 255 });
  const padded = new Uint8Array(46);
  padded.set(packet);
  assert.deepEqual(readIpv4Header(padded), { payloadStart: 20, payloadEnd: 32, ttl: 255 });
  const withOptions = padded.slice();
  withOptions.set([0x46, 0xc0, 0, 36]);
  assert.deepEqual(readIpv4Header(withOptions), { payloadStart: 24, payloadEnd: 36, ttl: 255 });
  assert.deepEqual(readIpv4Header(packet.subarray(0, 24))?.payloadEnd, 24, 'cut off by the buffer');
});

test('what is not a whole IPv4 packet is none', () => {
  const packet = KEEPALIVED_V3.slice(14);
  const cases: Record<string, Uint8Array> = {
    empty: new Uint8Array(0),
    short: packet.subarray(0, 19),
    version: changed(packet, 0, 0x65),
    headerLength: changed(packet, 0, 0x44),
    headerLongerThanPacket: changed(packet, 0, 0x4f),
    totalLength: changed(packet, 3, 19),
    firstFragment: changed(packet, 6, 0x20),
    laterFragment: changed(packet, 7, 1),
  };
  for (const [what, octets] of Object.entries(cases)) assert.equal(readIpv4Header(octets), null, what);
  assert.notEqual(readIpv4Header(changed(packet, 6, 0x40)), null, "Don't Fragment is not a fragment");
});

test('a header that is written over another leaves nothing of it', () => {
  for (const [addressBytes, headerBytes] of [
    [4, 20],
    [16, 40],
  ] as const) {
    const header = {
      source: new Uint8Array(addressBytes).fill(1),
      destination: new Uint8Array(addressBytes).fill(2),
      protocol: 6,
      hopLimit: 64,
      payloadBytes: 300,
    };
    const [fresh, used] = [new Uint8Array(headerBytes), new Uint8Array(headerBytes).fill(0xff)];
    writeIpHeader(fresh, header);
    writeIpHeader(used, header);
    assert.deepEqual(used, fresh);
  }
});

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function changed(octets: Uint8Array, offset: number, value: number): Uint8Array {
  return octets.with(offset, value);
}
