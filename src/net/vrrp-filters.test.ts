import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ipFromOctets } from '../ip/address.ts';
import { DROPPED, KEPT, octetsKept } from '../testing/bpf-machine.ts';
import { hopLimit255To, OFF_LINK_BYTES } from './vrrp-filters.ts';

function flip(packet: Uint8Array, at: number): Uint8Array {
  return packet.with(at, (packet[at] ?? 0) ^ 1);
}

test('RFC 9568 5.1.2.3: only hop limit 255 passes whole, and only to the destination', () => {
  const destination = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 - index);
  const filter = hopLimit255To(ipFromOctets(destination));
  const packet = new Uint8Array(60);
  packet.set(destination, 24);
  for (const hopLimit of [0, 1, 64, 254, 255]) {
    packet[7] = hopLimit;
    const kept = hopLimit === 255 ? KEPT : OFF_LINK_BYTES;
    assert.equal(octetsKept(filter, packet), kept, `hop limit ${hopLimit}`);
  }
  for (let at = 24; at < 40; at += 1) {
    assert.equal(octetsKept(filter, flip(packet, at)), DROPPED, `octet ${at} of another destination`);
  }
});
