import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type IpAddress, ipFromOctets, parseIp } from '../ip/address.ts';
import { type Arrival, DROPPED, KEPT, octetsKept } from '../testing/bpf-machine.ts';
import { IP_LAYOUT } from '../wire/ip.ts';
import { datagramsOfNeighbors } from './on-link-filter.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(text);
const PORT = 36_443;
const LINK_INDEX = 7;

/** From the network header on, with TTL 255. */
function datagramFrom(source: IpAddress, sourcePort = PORT): Uint8Array {
  const { headerBytes, hopLimitAt, sourceAt } = IP_LAYOUT[source.family];
  const packet = new Uint8Array(headerBytes + 8 + 1);
  packet[0] = source.family === 'IPv4' ? 0x45 : 0x60;
  packet[hopLimitAt] = 255;
  packet.set(source.octets, sourceAt);
  packet.set([sourcePort >> 8, sourcePort & 0xff, PORT >> 8, PORT & 0xff], headerBytes);
  return packet;
}

for (const [peer, stranger] of [
  [ip('10.0.0.2'), ip('10.0.0.9')],
  [ip('2001:db8::2'), ip('2001:db8::9')],
] as const) {
  const { family } = peer;
  const { headerBytes, hopLimitAt } = IP_LAYOUT[family];
  const expected = { family, sources: [peer], sourcePort: PORT, linkIndex: LINK_INDEX };
  // A driver may leave all in pages that the kernel has not had to look at: the IP header is what it has.
  const arrival: Arrival = { dataAt: headerBytes, linearBytes: headerBytes, linkIndex: LINK_INDEX };

  test(`${family}: a neighbor's datagram from its port, on this link, passes whole, and nothing else does`, () => {
    const filter = datagramsOfNeighbors(expected);
    const kept = (packet: Uint8Array, by = arrival): number => octetsKept(filter, packet, by);
    assert.equal(kept(datagramFrom(peer)), KEPT);
    assert.equal(kept(datagramFrom(stranger)), DROPPED, 'a stranger');
    for (const hopLimit of [0, 1, 64, 254])
      assert.equal(kept(datagramFrom(peer).with(hopLimitAt, hopLimit)), DROPPED, `hop limit ${hopLimit}`);
    for (const port of [0, 1024, PORT - 1, PORT + 1, PORT ^ 0x100])
      assert.equal(kept(datagramFrom(peer, port)), DROPPED, `source port ${port}`);
    for (const linkIndex of [1, LINK_INDEX + 1, LINK_INDEX + 0x1_0000])
      assert.equal(kept(datagramFrom(peer), { ...arrival, linkIndex }), DROPPED, `interface ${linkIndex}`);
    assert.equal(kept(datagramFrom(peer).subarray(0, headerBytes + 1)), DROPPED, 'no whole port');
  });

  test(`${family}: without neighbors nothing passes; 255 of them fit, and the last one counts`, () => {
    const none = datagramsOfNeighbors({ ...expected, sources: [] });
    assert.equal(octetsKept(none, datagramFrom(peer), arrival), DROPPED);
    const others = Array.from({ length: 254 }, (_, index) =>
      ipFromOctets(stranger.octets.with(1, index).with(2, 7)),
    );
    const all = datagramsOfNeighbors({ ...expected, sources: [...others, peer] });
    assert.ok(all.length <= 4096, 'BPF_MAXINSNS');
    assert.equal(octetsKept(all, datagramFrom(peer), arrival), KEPT);
    assert.equal(octetsKept(all, datagramFrom(stranger), arrival), DROPPED);
  });
}
