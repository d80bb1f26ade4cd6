import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import { decodeHandoverNotice } from '../handover-notice.ts';
import { Departure, type DepartureOptions } from './departure.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const [PROMPT, SILENT] = [ip('10.0.0.2'), ip('10.0.0.3')];

function departureOf(options: Partial<DepartureOptions> = {}) {
  const sent: [Uint8Array, string][] = [];
  const logged: unknown[] = [];
  const departure = new Departure({
    vrid: 51,
    peers: [PROMPT, SILENT],
    mac: () => MAC,
    send: (octets, { text }) => sent.push([octets, text]),
    log: (...entry) => logged.push(entry),
    ...options,
  });
  return { departure, sent, logged };
}

test('every peer is told where frames reach the interface that the VIP is on now', async () => {
  let mac: Uint8Array | null = null;
  const { departure, sent } = departureOf({ mac: () => mac });
  await departure.announce();
  assert.equal(sent.length, 0, 'the interface has no Ethernet address');
  mac = MAC;
  const announced = departure.announce();
  for (const peer of [PROMPT, SILENT]) departure.peerIsReady(peer);
  await announced;
  assert.deepEqual(
    sent.map(([octets, peer]) => [decodeHandoverNotice(octets, 51), peer]),
    [PROMPT, SILENT].map(({ text }) => [{ vrid: 51, step: 'leaving', mac: MAC }, text]),
  );
});

test('the log names the peers that have not answered in time, and no others', async () => {
  const { departure, logged } = departureOf();
  const announced = departure.announce();
  departure.peerIsReady(PROMPT);
  await announced;
  const text = 'no answer from 10.0.0.3 within 200 ms: if it takes over, requests in progress will be reset';
  assert.deepEqual(logged, [['info', text, { event: 'handover_unprepared', peers: ['10.0.0.3'] }]]);
  logged.length = 0;
  const again = departure.announce();
  for (const peer of [PROMPT, SILENT]) departure.peerIsReady(peer);
  await again;
  assert.deepEqual(logged, []);
});

test('an announcement during another one joins it: each peer is told once, and both end with the answers', async () => {
  const { departure, sent, logged } = departureOf();
  const both = [departure.announce(), departure.announce()];
  for (const peer of [PROMPT, SILENT]) departure.peerIsReady(peer);
  await Promise.all(both);
  assert.equal(sent.length, 2);
  assert.deepEqual(logged, []);
});

test('without peers nobody is waited for, and an answer that no announcement has asked for changes nothing', async () => {
  const { departure, sent, logged } = departureOf({ peers: [] });
  departure.peerIsReady(PROMPT);
  await departure.announce();
  assert.deepEqual([sent, logged], [[], []]);
});
