import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type IpAddress, ipFromOctets, parseIp } from '../../ip/address.ts';
import { type Arrival, DROPPED, KEPT, octetsKept } from '../../testing/bpf-machine.ts';
import {
  type ExpectedAdvertisements,
  advertisementFilters,
  hopLimit255To,
  OFF_LINK_BYTES,
} from './vrrp-filters.ts';

/**
 * To a raw socket, of a driver that leaves all in pages that the kernel has not had to look at: behind the IP header.
 */
const IPV4_ARRIVAL: Arrival = { dataAt: 0, linearBytes: 20 };
const IPV6_ARRIVAL: Arrival = { dataAt: 40, linearBytes: 40 };

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
    assert.equal(octetsKept(filter, packet, IPV6_ARRIVAL), kept, `hop limit ${hopLimit}`);
  }
  for (let at = 24; at < 40; at += 1) {
    assert.equal(
      octetsKept(filter, flip(packet, at), IPV6_ARRIVAL),
      DROPPED,
      `octet ${at} of another destination`,
    );
  }
});

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(text);

const NETWORKS = [
  { name: 'IPv4', group: ip('224.0.0.18'), hosts: ['10.0.0.1', '10.0.0.2', '10.0.0.9'].map(ip) },
  { name: 'IPv6', group: ip('ff02::12'), hosts: ['fe80::1', 'fe80::2', 'fe80::9'].map(ip) },
] as const;

/** From the network header on, with TTL 255 and the message 31 33 ...: version 3, VRID 51. */
function advertisementFrom(source: IpAddress, group: IpAddress): Uint8Array {
  const packet = new Uint8Array(source.family === 'IPv4' ? 32 : 64);
  const [sourceAt, groupAt, hopLimitAt, messageAt] =
    source.family === 'IPv4' ? [12, 16, 8, 20] : [8, 24, 7, 40];
  packet[0] = source.family === 'IPv4' ? 0x45 : 0x60;
  packet[hopLimitAt] = 255;
  packet[source.family === 'IPv4' ? 3 : 5] = source.family === 'IPv4' ? packet.length : packet.length - 40;
  packet.set(source.octets, sourceAt);
  packet.set(group.octets, groupAt);
  packet.set([0x31, 51], messageAt);
  return packet;
}

for (const { name, group, hosts } of NETWORKS) {
  const [self, peer, stranger] = hosts as [IpAddress, IpAddress, IpAddress];
  const isIpv4 = name === 'IPv4';
  const keptBy = (packet: Uint8Array, expected: ExpectedAdvertisements): [number, number] => {
    const filters = advertisementFilters(group, self, expected);
    const arrival = isIpv4 ? IPV4_ARRIVAL : IPV6_ARRIVAL;
    return [octetsKept(filters.expected, packet, arrival), octetsKept(filters.unexpected, packet, arrival)];
  };

  test(`${name}: what looks like an advertisement from a peer is expected, and nothing else is; both are heard once`, () => {
    const expected = { vrid: 51, version: 3, sources: [self, peer] } as const;
    const packet = advertisementFrom(peer, group);
    assert.deepEqual(keptBy(packet, expected), [KEPT, DROPPED]);
    assert.deepEqual(keptBy(advertisementFrom(stranger, group), expected), [DROPPED, KEPT]);
    const messageAt = isIpv4 ? 20 : 40;
    const [hopLimitAt, sourceAt] = isIpv4 ? [8, 12] : [7, 8];
    for (const [what, at, octet] of [
      ['another version', messageAt, 0x21],
      ['another type', messageAt, 0x32],
      ['another VRID', messageAt + 1, 52],
      ['another network', sourceAt, 0xaa],
    ] as const) {
      assert.deepEqual(keptBy(packet.with(at, octet), expected), [DROPPED, KEPT], what);
    }
    const offLink = keptBy(packet.with(hopLimitAt, 254), expected);
    assert.deepEqual(offLink, [DROPPED, isIpv4 ? KEPT : OFF_LINK_BYTES]);
    if (isIpv4) assert.deepEqual(keptBy(packet.with(0, 0x46), expected), [DROPPED, KEPT], 'IP options');
    else assert.deepEqual(keptBy(packet.with(39, 0x13), expected), [DROPPED, DROPPED], 'another group');
  });

  test(`${name}: what is shorter than a message's VRID is heard too, as nothing that is expected`, () => {
    const headerBytes = isIpv4 ? 20 : 40;
    for (const length of [0, 1]) {
      const packet = advertisementFrom(peer, group).subarray(0, headerBytes + length);
      packet[isIpv4 ? 3 : 5] = isIpv4 ? headerBytes + length : length;
      const kept = keptBy(packet, { vrid: 51, version: 3, sources: [self, peer] });
      assert.deepEqual(kept, [DROPPED, KEPT], `${length} octets`);
    }
  });

  test(`${name}: where nobody knows the peers' addresses, anybody's is expected`, () => {
    const expected = { vrid: 51, version: 3, sources: null } as const;
    assert.deepEqual(keptBy(advertisementFrom(stranger, group), expected), [KEPT, DROPPED]);
    const another = { ...expected, vrid: 52 };
    assert.deepEqual(keptBy(advertisementFrom(stranger, group), another), [DROPPED, KEPT]);
  });

  test(`${name}: what comes from this router's own address is nobody's advertisement, in peers or not`, () => {
    const packet = advertisementFrom(self, group);
    for (const sources of [[self, peer], null]) {
      assert.deepEqual(keptBy(packet, { vrid: 51, version: 3, sources }), [DROPPED, KEPT]);
    }
  });

  test(`${name}: 255 peers fit, and the last of them counts`, () => {
    const sources = Array.from({ length: 254 }, (_, index) =>
      ipFromOctets(stranger.octets.with(1, index).with(2, 7)),
    );
    const expected = { vrid: 51, version: 3, sources: [...sources, peer] } as const;
    const filters = advertisementFilters(group, self, expected);
    assert.ok(filters.unexpected.length <= 4096, 'BPF_MAXINSNS');
    assert.deepEqual(keptBy(advertisementFrom(peer, group), expected), [KEPT, DROPPED]);
    assert.deepEqual(keptBy(advertisementFrom(stranger, group), expected), [DROPPED, KEPT]);
  });
}
