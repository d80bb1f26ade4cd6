import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ipFromOctets } from '../../ip/address.ts';
import { DROPPED, KEPT, octetsKept as octetsKeptOf } from '../../testing/bpf-machine.ts';
import type { SocketFilter } from '../../net/bpf.ts';
import { claimsOf, NEIGHBOR_ADVERTISEMENTS } from './neighbor-filters.ts';

/** To a packet socket of an Ethernet link, with all of it in pages, which the kernel has not looked at yet. */
const octetsKept = (filter: SocketFilter, packet: Uint8Array): number =>
  octetsKeptOf(filter, packet, { dataAt: -14, linearBytes: 0 });

function flip(packet: Uint8Array, at: number): Uint8Array {
  return packet.with(at, (packet[at] ?? 0) ^ 1);
}

test('of ARP, only what a host says of itself that it has the address', () => {
  const packet = new Uint8Array(28);
  packet.set([10, 0, 0, 100], 14);
  const filter = claimsOf(ipFromOctets(packet.slice(14, 18)));
  assert.equal(octetsKept(filter, packet), KEPT);
  assert.equal(octetsKept(filter, packet.with(17, 101)), DROPPED);
  packet.copyWithin(24, 14, 18).fill(0, 14, 18);
  assert.equal(octetsKept(filter, packet), DROPPED, 'a question about the address');
});

test('of IPv6, only neighbor advertisements of the address', () => {
  const address = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 - index);
  const filter = claimsOf(ipFromOctets(address));
  const packet = new Uint8Array(72);
  packet[6] = 58;
  packet[40] = 136;
  packet.set(address, 48);
  assert.equal(octetsKept(filter, packet), KEPT);
  for (const at of [6, 40, 48, 52, 56, 60, 63])
    assert.equal(octetsKept(filter, flip(packet, at)), DROPPED, `octet ${at}`);
});

test('of ICMPv6, only neighbor advertisements pass; and nothing that only looks like one', () => {
  const packet = new Uint8Array(64);
  for (const [nextHeader, type, verdict] of [
    [58, 136, KEPT],
    [58, 135, DROPPED],
    [6, 136, DROPPED],
  ] as const) {
    packet[6] = nextHeader;
    packet[40] = type;
    assert.equal(octetsKept(NEIGHBOR_ADVERTISEMENTS, packet), verdict, `${nextHeader} ${type}`);
  }
  const short = Uint8Array.of(0, 0, 0, 0, 0, 0, 58);
  assert.equal(octetsKept(NEIGHBOR_ADVERTISEMENTS, short), DROPPED, 'too short to tell');
});
