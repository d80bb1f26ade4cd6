/** ClientShare on one node, PeerClients on another, and a network between them that loses, repeats and reorders. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Family, ipFromOctets } from '../ip/address.ts';
import { ClientShare, SHARE_INTERVAL_MS } from './client-share.ts';
import { decodeMessage } from './message.ts';
import { PeerClients } from './peer-clients.ts';
import { clientKey } from './tuple.ts';

const VRID = 51;
const PEER = '192.0.2.2';

function key(index: number, family: Family = 'IPv4'): string {
  const octets = new Uint8Array(family === 'IPv4' ? 4 : 16);
  octets.set(family === 'IPv4' ? [10] : [0x20, 1]);
  octets.set([index >> 16, (index >> 8) & 0xff, index & 0xff], octets.length - 3);
  return clientKey(ipFromOctets(octets), 40_000) ?? assert.fail();
}

function newShare(generation = 1, family: Family = 'IPv4'): ClientShare {
  return new ClientShare({ family, vrid: VRID, generation });
}

function deliver(known: PeerClients, octets: Uint8Array, nowMs = 0): boolean {
  const decoded = decodeMessage(octets, VRID);
  assert.ok(decoded.ok, JSON.stringify(decoded));
  return known.accept(PEER, decoded.message, nowMs);
}

describe('a peer that hears everything', () => {
  test('knows who is connected, the latest first', () => {
    const share = newShare();
    const known = new PeerClients();
    for (let index = 0; index < 1000; index += 1) share.opened(key(index));
    let nowMs = 0;
    for (; nowMs < 1000; nowMs += SHARE_INTERVAL_MS)
      share.take(nowMs).forEach((octets) => deliver(known, octets));
    share.closed(key(3));
    for (const octets of share.take(nowMs)) deliver(known, octets);
    assert.equal(known.size, 999);
    const taken = known.take('IPv4');
    assert.equal(taken[0], key(999));
    assert.ok(!taken.includes(key(3)));
    assert.equal(known.size, 0, 'a client is prompted once');
  });

  test('who has no client says so each second for a while, and then nothing', () => {
    const share = newShare();
    const sentAtMs: number[] = [];
    for (let nowMs = 0; nowMs < 60_000; nowMs += SHARE_INTERVAL_MS)
      if (share.take(nowMs).length > 0) sentAtMs.push(nowMs);
    assert.deepEqual(
      sentAtMs,
      Array.from({ length: 20 }, (_, index) => index * 1000),
    );
  });

  test('a timer that waits as long as it is told misses nothing, and rests while there is nothing', () => {
    const share = newShare();
    let nowMs = 0;
    const wokenUntil = (endMs: number): number => {
      let takes = 0;
      for (; nowMs + share.dueInMs(nowMs) <= endMs; takes += 1) {
        nowMs += share.dueInMs(nowMs);
        assert.ok(share.take(nowMs).length > 0 || share.size > 0, 'woken for nothing');
      }
      nowMs = endMs;
      return takes;
    };
    assert.equal(wokenUntil(60_000), 20, 'one for each of the empty sweeps');
    for (let index = 0; index < 100; index += 1) share.opened(key(index));
    assert.equal(share.dueInMs(nowMs), SHARE_INTERVAL_MS);
    const withClients = wokenUntil(160_000);
    assert.ok(withClients >= 10 && withClients <= 50, `${withClients} in ten sweeps of 100 clients`);
  });

  test('forgets clients whose ends it did not hear of, within seconds', () => {
    const known = new PeerClients();
    const share = newShare();
    for (let index = 0; index < 3; index += 1) share.opened(key(index));
    for (const octets of share.take(0)) deliver(known, octets);
    for (let index = 0; index < 3; index += 1) share.closed(key(index));
    share.take(SHARE_INTERVAL_MS); // lost, as when the link is cut
    assert.equal(known.size, 3);
    for (let nowMs = 1000; nowMs <= 4000; nowMs += SHARE_INTERVAL_MS)
      for (const octets of share.take(nowMs)) deliver(known, octets);
    assert.equal(known.size, 0);
  });

  for (const clients of [0, 3]) {
    test(`replaces what a sender said before it started anew, without a gap: ${clients} clients now`, () => {
      const known = new PeerClients();
      const before = newShare(1);
      before.opened(key(1));
      for (const octets of before.take(0)) deliver(known, octets);
      const after = newShare(2);
      const now = Array.from({ length: clients }, (_, index) => key(100 + index));
      for (const client of now) after.opened(client);
      let nowMs = 2000;
      for (const octets of after.take(nowMs)) deliver(known, octets, nowMs);
      assert.equal(known.size, 1 + clients, 'what it said before was heard a moment ago');
      for (; nowMs < 24_000; nowMs += SHARE_INTERVAL_MS)
        for (const octets of after.take(nowMs)) deliver(known, octets, nowMs);
      assert.deepEqual(new Set(known.take('IPv4')), new Set(now));
    });
  }

  test('keeps what a sender has said whatever another generation says in its name, and bounds that', () => {
    const known = new PeerClients();
    const share = newShare(1);
    const real = Array.from({ length: 20 }, (_, index) => key(index));
    for (const client of real) share.opened(client);
    for (const octets of share.take(0)) deliver(known, octets);
    let sequence = 0;
    const forge = (generation: number, sweep: number, start: number, nowMs: number): boolean => {
      sequence += 1;
      const opened = Array.from({ length: 190 }, (_, index) => key(1000 + start + index));
      const message = {
        family: 'IPv4',
        vrid: VRID,
        sweep,
        generation,
        sequence,
        opened,
        closed: real,
      } as const;
      return known.accept(PEER, message, nowMs);
    };
    for (let count = 0; count < 345; count += 1) forge(7, count & 0xff, count * 190, 10 + count);
    assert.ok(known.size <= 20 + 16_384, `${known.size}`);
    assert.equal(forge(8, 1, 0, 500), false, 'a third generation');
    for (let nowMs = 1000; nowMs < 40_000; nowMs += SHARE_INTERVAL_MS)
      for (const octets of share.take(nowMs)) deliver(known, octets, nowMs);
    assert.deepEqual(new Set(known.take('IPv4')), new Set(real), 'nothing is left of the forged ones');
  });

  test('refuses what is old or repeated, and counts what is missing', () => {
    const known = new PeerClients();
    const share = newShare();
    const messages = [1, 2, 3, 4].flatMap((index) => {
      share.opened(key(index));
      return share.take(index);
    });
    assert.equal(messages.length, 4);
    const [first, second, , fourth] = messages as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    assert.equal(deliver(known, first), true);
    assert.equal(deliver(known, fourth), true);
    assert.equal(known.lost, 2);
    assert.equal(deliver(known, second), false);
    assert.equal(deliver(known, fourth), false);
    assert.deepEqual(known.take('IPv4'), [key(4), key(1)]);
  });

  test('has each family apart', () => {
    const known = new PeerClients();
    for (const family of ['IPv4', 'IPv6'] as const) {
      const share = newShare(1, family);
      share.opened(key(1, family));
      for (const octets of share.take(0)) deliver(known, octets);
    }
    assert.deepEqual(known.take('IPv6'), [key(1, 'IPv6')]);
    assert.deepEqual(known.take('IPv4'), [key(1)]);
  });

  test('does not prompt a client that has come to this node', () => {
    const known = new PeerClients();
    const share = newShare();
    share.opened(key(1));
    for (const octets of share.take(0)) deliver(known, octets);
    known.forget(key(1));
    assert.deepEqual(known.take('IPv4'), []);
  });
});

describe('a network that loses messages', () => {
  test('whatever was lost, after three whole sweeps that arrive the peer knows exactly who is connected', () => {
    const step = fc.record({ open: fc.boolean(), client: fc.nat(100), lost: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const share = newShare();
        const known = new PeerClients();
        const connected = new Set<string>();
        let nowMs = 0;
        for (const { open, client, lost } of steps) {
          if (open) {
            share.opened(key(client));
            connected.add(key(client));
          } else {
            share.closed(key(client));
            connected.delete(key(client));
          }
          for (const octets of share.take(nowMs)) if (!lost) deliver(known, octets);
          nowMs += SHARE_INTERVAL_MS;
        }
        // Somebody is always connected from here on, so that there are sweeps at all.
        share.opened(key(1000));
        connected.add(key(1000));
        for (const untilMs = nowMs + 45_000; nowMs < untilMs; nowMs += SHARE_INTERVAL_MS)
          for (const octets of share.take(nowMs)) deliver(known, octets);
        assert.deepEqual(new Set(known.take('IPv4')), connected);
      }),
      { numRuns: 50 },
    );
  });
});

describe('its cost', () => {
  /** Ethernet with its preamble and gap, IP and UDP headers. */
  const OVERHEAD_BYTES = { IPv4: 38 + 20 + 8, IPv6: 38 + 40 + 8 };
  const PEERS = 2;

  for (const family of ['IPv4', 'IPv6'] as const) {
    test(`10,000 ${family} clients and 100 new ones a second: at most 50 KB/s to two peers together`, () => {
      const share = newShare(1, family);
      for (let index = 0; index < 10_000; index += 1) share.opened(key(index, family));
      let nowMs = 0;
      for (; nowMs < 10_000; nowMs += SHARE_INTERVAL_MS) share.take(nowMs);
      let bytes = 0;
      let next = 10_000;
      const fromMs = nowMs;
      for (; nowMs < fromMs + 60_000; nowMs += SHARE_INTERVAL_MS) {
        for (let count = 0; count < (100 * SHARE_INTERVAL_MS) / 1000; count += 1) {
          share.opened(key(next, family));
          share.closed(key(next - 10_000, family));
          next += 1;
        }
        for (const octets of share.take(nowMs)) bytes += PEERS * (octets.length + OVERHEAD_BYTES[family]);
      }
      assert.equal(share.size, 10_000);
      const bytesPerSecond = bytes / 60;
      assert.ok(bytesPerSecond <= 50_000, `${bytesPerSecond} bytes a second`);
    });
  }

  test('a burst of 16,000 clients is spread out, and all of it is told', () => {
    const share = newShare();
    const known = new PeerClients();
    for (let index = 0; index < 16_000; index += 1) share.opened(key(index));
    for (let nowMs = 0; nowMs < 2000; nowMs += SHARE_INTERVAL_MS) {
      const messages = share.take(nowMs);
      assert.ok(messages.length <= 10);
      for (const octets of messages) deliver(known, octets);
    }
    assert.equal(known.size, 16_000);
  });

  test('a peer that tells of more clients than a proxy takes is not remembered beyond that', () => {
    const known = new PeerClients();
    let sequence = 0;
    for (let sweep = 0; sweep < 8; sweep += 1) {
      for (let start = 0; start < 80_000; start += 100) {
        sequence += 1;
        const opened = Array.from({ length: 100 }, (_, index) => key(start + index));
        const message = {
          family: 'IPv4',
          vrid: VRID,
          sweep,
          generation: 1,
          sequence,
          opened,
          closed: [],
        } as const;
        known.accept(PEER, message, sweep * 10_000);
      }
      if (sweep === 0) assert.equal(known.size, 16_384, 'no second sweep has confirmed them');
    }
    assert.equal(known.size, 65_536);
  });
});
