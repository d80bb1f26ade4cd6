import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { type IpAddress, parseIp } from '../../ip/address.ts';
import type { LogFields } from '../../log/log.ts';
import { type Advertisement, encodeAdvertisement } from '../advertisement.ts';
import { autoPriorities } from '../priority.ts';
import { REJECT_REASONS } from '../receive.ts';
import { createRouterCounters } from './counters.ts';
import { Receiver } from './receiver.ts';
import { describeReject } from './remarks.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const VIP = ip('10.0.0.100');
const SELF = ip('10.0.0.1');
const PEER = ip('10.0.0.2');
const STRANGER = ip('10.0.0.9');
const GROUP = ip('224.0.0.18');

const SENT: Advertisement = {
  version: 3,
  vrid: 51,
  priority: 254,
  advertisementIntervalMs: 100,
  addresses: [VIP],
  authentication: { type: 'none' },
};

class Stage {
  readonly counters = createRouterCounters();
  readonly lines: { readonly message: string; readonly fields: LogFields }[] = [];
  readonly receiver: Receiver;

  constructor(ownAddress = SELF, senders: readonly IpAddress[] = [SELF, PEER]) {
    this.receiver = new Receiver({
      vrid: 51,
      version: 3,
      advertisementIntervalMs: 100,
      vip: ownAddress.family === 'IPv4' ? VIP : ip('fd00::100'),
      priorities: autoPriorities(1, 3),
      authentication: { type: 'none' },
      senders,
      counters: this.counters,
      log: (_, message, fields = {}) => this.lines.push({ message, fields }),
      nowMs: () => 0,
    });
    this.receiver.begin(ownAddress);
  }

  hear(change: Partial<Advertisement>, source = PEER, destination = GROUP): boolean {
    const addresses = [source.family === 'IPv4' ? VIP : ip('fd00::100')];
    const payload = encodeAdvertisement(
      { ...SENT, addresses, ...change },
      { source, destination },
      'pseudo-header',
    );
    return this.receiver.receive({ payload, source, destination, ttl: 255 }) !== null;
  }
}

describe('whom a router believes', () => {
  test('a valid advertisement of priority 254 from an address that is not in peers: multicast and unicast alike, no', () => {
    const stage = new Stage();
    assert.equal(stage.hear({}, STRANGER), false);
    assert.equal(stage.hear({}, STRANGER, SELF), false);
    assert.equal(stage.counters.rejected.source_not_in_peers, 2);
    assert.equal(stage.hear({}, PEER), true);
    assert.equal(stage.hear({}, PEER, SELF), true);
  });

  test('a router that sends from no peer address cannot know those of the others: anybody on the link', () => {
    const stage = new Stage(ip('10.0.0.50'));
    assert.equal(stage.hear({}, STRANGER), true);
  });
});

describe('whom a router believes over IPv6', () => {
  const [self, peer, stranger, group] = [ip('fe80::1'), ip('fe80::2'), ip('fe80::9'), ip('ff02::12')];
  const hear = (stage: Stage, source: IpAddress): boolean => stage.hear({}, source, group);

  test('of link-local addresses, those that are listed; with none listed, anybody on the link', () => {
    const listed = new Stage(self, [self, peer]);
    assert.deepEqual([hear(listed, peer), hear(listed, stranger)], [true, false]);
    assert.deepEqual(
      listed.receiver.expected.sources?.map(({ text }) => text),
      ['fe80::1', 'fe80::2'],
    );
    const unlisted = new Stage(self, []);
    assert.deepEqual([hear(unlisted, peer), hear(unlisted, stranger)], [true, true]);
    assert.equal(unlisted.receiver.expected.sources, null);
  });
});

describe('what a router says about packets that do not fit', () => {
  const rows: readonly [string, Partial<Advertisement>, RegExp][] = [
    ['another group with the same VRID', { addresses: [ip('10.0.0.101')] }, /another vrrp\.vrid$/u],
    ['another version', { version: 2, advertisementIntervalMs: 1000 }, /same vrrp\.version on all$/u],
    ['another interval', { advertisementIntervalMs: 300 }, /same vrrp\.advertisementInterval on all$/u],
    [
      'the same priority',
      { priority: 212 },
      /give each node a vrrp\.priority of its own, or with auto the same peers/u,
    ],
    ['more addresses', { addresses: [VIP, ip('10.0.0.101')] }, /another vrrp\.vrid, or all the same vip$/u],
  ];
  for (const [name, change, expected] of rows) {
    test(`${name}: every packet is counted, one line a minute says what to change`, () => {
      const stage = new Stage();
      for (let count = 0; count < 100; count += 1) stage.hear(change);
      assert.equal(stage.lines.length, 1, stage.lines.map(({ message }) => message).join('\n'));
      assert.match(stage.lines[0]?.message ?? '', expected);
      const { rejected, mismatches } = stage.counters;
      const counts = [...Object.values(rejected), ...Object.values(mismatches)];
      assert.equal(Math.max(...counts), 100);
    });
  }

  test('a flood from ten thousand senders costs at most 65 lines a minute', () => {
    const stage = new Stage();
    for (let count = 0; count < 10_000; count += 1) stage.hear({}, ip(`10.1.${count >> 8}.${count & 0xff}`));
    assert.equal(stage.lines.length, 65);
    assert.equal(stage.counters.rejected.source_not_in_peers, 10_000);
  });

  test('the first packet of a misconfigured peer is named, whatever strangers have cost before', () => {
    const stage = new Stage();
    for (let count = 0; count < 10_000; count += 1) stage.hear({}, ip(`10.1.${count >> 8}.${count & 0xff}`));
    const { length } = stage.lines;
    stage.hear({ priority: 212 });
    assert.match(
      stage.lines[length]?.message ?? '',
      /^10\.0\.0\.2 advertises priority 212, as this node does in class A/u,
    );
    stage.hear({ priority: 212 });
    assert.equal(stage.lines.length, length + 1);
    assert.equal(stage.counters.mismatches.priority, 2);
  });

  test('every reason has its words', () => {
    const texts = REJECT_REASONS.map(describeReject);
    assert.equal(new Set(texts).size, REJECT_REASONS.length);
    for (const text of texts) assert.ok(text.length > 10);
  });
});
