import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { ipFromOctets } from '../ip/address.ts';
import {
  claimsOf,
  encodeFilter,
  hopLimit255To,
  NEIGHBOR_ADVERTISEMENTS,
  OFF_LINK_BYTES,
  type SocketFilter,
} from './socket-filter.ts';

const KEEP = 0xffff;
const DROP = 0;

describe('socket filters', () => {
  test('the program is struct sock_filter, as the kernel reads it', () => {
    assert.equal(
      encodeFilter(NEIGHBOR_ADVERTISEMENTS).toString('hex').match(/.{16}/g)?.join(' '),
      // ldb [net + 6]; jeq #58, 0, 3; ldb [net + 40]; jeq #136, 0, 1; ret #65535; ret #0
      '300000000600f0ff 150000033a000000 300000002800f0ff 1500000188000000 06000000ffff0000 0600000000000000',
    );
  });

  test('RFC 9568 5.1.2.3: only hop limit 255 passes whole, and only to the destination', () => {
    const destination = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 - index);
    const filter = hopLimit255To(ipFromOctets(destination));
    const packet = new Uint8Array(60);
    packet.set(destination, 24);
    for (const hopLimit of [0, 1, 64, 254, 255]) {
      packet[7] = hopLimit;
      assert.equal(run(filter, packet), hopLimit === 255 ? KEEP : OFF_LINK_BYTES, `hop limit ${hopLimit}`);
    }
    for (let at = 24; at < 40; at += 1) {
      assert.equal(
        run(filter, packet.with(at, (packet[at] ?? 0) ^ 1)),
        DROP,
        `octet ${at} of another destination`,
      );
    }
  });

  test('of ARP, only what a host says of itself that it has the address', () => {
    const packet = new Uint8Array(28);
    packet.set([10, 0, 0, 100], 14);
    const filter = claimsOf(ipFromOctets(packet.slice(14, 18)));
    assert.equal(run(filter, packet), KEEP);
    assert.equal(run(filter, packet.with(17, 101)), DROP);
    packet.copyWithin(24, 14, 18).fill(0, 14, 18);
    assert.equal(run(filter, packet), DROP, 'a question about the address');
  });

  test('of IPv6, only neighbor advertisements of the address', () => {
    const address = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 - index);
    const filter = claimsOf(ipFromOctets(address));
    const packet = new Uint8Array(72);
    packet[6] = 58;
    packet[40] = 136;
    packet.set(address, 48);
    assert.equal(run(filter, packet), KEEP);
    for (const at of [6, 40, 48, 52, 56, 60, 63])
      assert.equal(run(filter, packet.with(at, (packet[at] ?? 0) ^ 1)), DROP, `octet ${at}`);
  });

  test('of ICMPv6, only neighbor advertisements pass; and nothing that only looks like one', () => {
    const packet = new Uint8Array(64);
    for (const [nextHeader, type, verdict] of [
      [58, 136, KEEP],
      [58, 135, DROP],
      [6, 136, DROP],
    ] as const) {
      packet[6] = nextHeader;
      packet[40] = type;
      assert.equal(run(NEIGHBOR_ADVERTISEMENTS, packet), verdict, `${nextHeader} ${type}`);
    }
    assert.equal(
      run(NEIGHBOR_ADVERTISEMENTS, Uint8Array.of(0, 0, 0, 0, 0, 0, 58)),
      DROP,
      'too short to tell',
    );
  });
});

/** The kernel's machine, as far as the programs here use it; loads past the end drop the packet. */
function run(filter: SocketFilter, packet: Uint8Array): number {
  const octets = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const [code, whenTrue, whenFalse, operand] = filter[at] ?? assert.fail('ran off the end of the program');
    const offset = operand - 0xfff00000;
    if (code === 0x06) return operand;
    if (code === 0x15) at += accumulator === operand ? whenTrue : whenFalse;
    else if (offset + (code === 0x20 ? 4 : 1) > packet.length) return DROP;
    else accumulator = code === 0x20 ? octets.getUint32(offset) : octets.getUint8(offset);
  }
}
