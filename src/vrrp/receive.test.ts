import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { type Advertisement, encodeAdvertisement } from './advertisement.ts';
import { autoPriorities, configuredPriorities } from './priority.ts';
import { type ReceiveOptions, type ReceiveResult, receiveAdvertisement } from './receive.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const source = ip('10.0.0.2');
const envelope = { family: 'IPv4', source, destination: ip('224.0.0.18'), ttl: 255 } as const;
const none = { type: 'none' } as const;
const sent: Advertisement = {
  version: 3,
  vrid: 51,
  priority: 212,
  advertisementIntervalMs: 100,
  addresses: [ip('10.0.0.100')],
  authentication: none,
};
const options: ReceiveOptions = {
  vrid: 51,
  version: 3,
  advertisementIntervalMs: 100,
  addresses: [ip('10.0.0.100')],
  authentication: none,
  self: '10.0.0.1',
  allowedSources: null,
};
const version2 = { ...sent, version: 2, advertisementIntervalMs: 1000 } as const;
const options2 = { ...options, version: 2, advertisementIntervalMs: 1000 } as const;

const receive = (change: Partial<Advertisement>, configured: Partial<ReceiveOptions> = {}): ReceiveResult =>
  receiveAdvertisement(encodeAdvertisement({ ...sent, ...change }, envelope, 'pseudo-header'), envelope, {
    ...options,
    ...configured,
  });
const reasonOf = (result: ReceiveResult): string => (result.ok ? 'accepted' : result.reason);

test('the own group, same interval and addresses: accepted without remarks', () => {
  const result = receive({});
  assert.deepEqual(result.ok && result.mismatches, []);
});

test('RFC 9568 7.1: a VRID that is not configured here is discarded', () => {
  assert.equal(reasonOf(receive({ vrid: 52 })), 'other_vrid');
});

test('RFC 9568 7.1: another version is discarded', () => {
  assert.equal(reasonOf(receive(version2)), 'other_version');
  assert.equal(reasonOf(receive({}, options2)), 'other_version');
});

test('what comes from the own address is discarded, also where the node is among its peers', () => {
  const configured = { self: source.text, allowedSources: new Set([source.text]) };
  assert.equal(reasonOf(receive({}, configured)), 'own_address');
});

test('a sender that is not allowed is discarded, an allowed one is not', () => {
  assert.equal(reasonOf(receive({}, { allowedSources: new Set(['10.0.0.3']) })), 'source_not_in_peers');
  assert.equal(reasonOf(receive({}, { allowedSources: new Set(['10.0.0.2']) })), 'accepted');
});

test('RFC 9568 7.1: version 3 accepts another interval and says so; another list with the VIP in it too', () => {
  const interval = receive({ advertisementIntervalMs: 300 });
  assert.deepEqual(interval.ok && interval.mismatches, ['interval']);
  const order = receive({ addresses: [ip('10.0.0.100'), ip('10.0.0.101')] });
  assert.deepEqual(order.ok && order.mismatches, ['addresses']);
});

test('the longer interval that a busy node of the same settings names is no other one', () => {
  const busy = receive({ advertisementIntervalMs: 200 });
  assert.deepEqual(busy.ok && busy.mismatches, []);
});

test('RFC 3768 7.1: version 2 discards another interval', () => {
  assert.equal(
    reasonOf(receive({ ...version2, advertisementIntervalMs: 2000 }, options2)),
    'interval_mismatch',
  );
  assert.equal(reasonOf(receive(version2, options2)), 'accepted');
});

test('version 2 authentication must be the same on both sides', () => {
  const pass = { type: 'pass', password: 'secret01' } as const;
  const other = { type: 'pass', password: 'secret02' } as const;
  assert.equal(
    reasonOf(receive({ ...version2, authentication: pass }, { ...options2, authentication: pass })),
    'accepted',
  );
  assert.equal(
    reasonOf(receive({ ...version2, authentication: other }, { ...options2, authentication: pass })),
    'authentication',
  );
  assert.equal(reasonOf(receive(version2, { ...options2, authentication: pass })), 'authentication');
  assert.equal(reasonOf(receive({ ...version2, authentication: pass }, options2)), 'authentication');
});

test('RFC 9568 7.1, RFC 3768 7.1: the VRID with other addresses is another group, and dropped, an owner too', () => {
  const addresses = [ip('10.0.0.101'), ip('10.0.0.102')];
  assert.equal(reasonOf(receive({ addresses })), 'other_addresses');
  assert.equal(reasonOf(receive({ addresses, priority: 255 })), 'other_addresses');
  assert.equal(reasonOf(receive({ ...version2, addresses }, options2)), 'other_addresses');
});

test('RFC 9568 8.3.2: a priority that this node advertises too, in whatever class of its health, is remarked on', () => {
  const priorities = { A: 212, B: 106, U: 53, C: 21 };
  const remarkOn = (priority: number): readonly string[] => {
    const result = receive({ priority }, { priorities });
    return result.ok ? result.mismatches : [result.reason];
  };
  for (const priority of [212, 106, 53, 21]) assert.deepEqual(remarkOn(priority), ['priority']);
  for (const priority of [0, 1, 22, 54, 105, 211, 213, 254, 255]) assert.deepEqual(remarkOn(priority), []);
});

test('two nodes with one priority, or with peers in another order, remark on it whatever their classes', () => {
  const same = [
    [configuredPriorities(20), configuredPriorities(20)],
    [autoPriorities(1, 3), autoPriorities(1, 3)],
  ] as const;
  for (const [own, other] of same) {
    for (const priority of Object.values(other)) {
      const result = receive({ priority }, { priorities: own });
      assert.deepEqual(result.ok && result.mismatches, ['priority']);
    }
  }
});
