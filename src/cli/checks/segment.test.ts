import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { parseIp } from '../../ip/address.ts';
import type { Advertisement } from '../../vrrp/advertisement.ts';
import type { CheckResult } from './result.ts';
import {
  judgeVip,
  judgeVrid,
  listenMs,
  type HeardRouter,
  type Listening,
  type VipSighting,
} from './segment.ts';

function config(rest: Record<string, string> = {}): Config {
  const given = { vip: '10.0.0.10', peers: '10.0.0.1,10.0.0.2', ...rest };
  const flags = Object.entries(given).map(([name, value]) => ({ name, value }));
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

function heard(source: string, addresses: string, rest: Partial<Advertisement> = {}): HeardRouter {
  const from = parseIp(source)!;
  const advertisement = {
    version: 3 as const,
    vrid: 51,
    priority: 100,
    advertisementIntervalMs: 100,
    addresses: addresses.split(',').map((text) => parseIp(text)!),
    authentication: { type: 'none' as const },
    ...rest,
  };
  return { family: from.family, source: from, advertisement };
}

function tell({ level, message, fix }: CheckResult): string {
  return `${level}: ${message}${fix === null ? '' : ` -> ${fix}`}`;
}

const ETH0 = { link: { name: 'eth0' }, sourceByFamily: { IPv4: null, IPv6: null }, priorities: [254] };

function vridOf(routers: readonly HeardRouter[], from = config()): string[] {
  return judgeVrid(from, ETH0, [{ family: 'IPv4', heard: routers, refusal: null }]).map(tell);
}

test('a silent segment is good, and the ids that others use are named', () => {
  assert.deepEqual(vridOf([]), ['ok: no other router used vrid 51 on eth0 in 3.5 s']);
  const others = [heard('10.0.0.9', '10.0.0.99', { vrid: 70 }), heard('10.0.0.8', '10.0.0.98', { vrid: 7 })];
  assert.deepEqual(vridOf(others), ['ok: no other router used vrid 51 on eth0 in 3.5 s; in use are 7, 70']);
});

test('a peer that advertises our VIP with our id is as it should be', () => {
  assert.deepEqual(vridOf([heard('10.0.0.2', '10.0.0.10')]), [
    'ok: 10.0.0.2 advertises 10.0.0.10 with vrid 51, as a node of this cluster should',
  ]);
});

test('another VIP under our id fails, with an id that is free', () => {
  const routers = [heard('10.0.0.9', '10.0.0.99'), heard('10.0.0.8', '10.0.0.98', { vrid: 52 })];
  assert.deepEqual(vridOf(routers), [
    'fail: vrid 51 is in use on eth0 by 10.0.0.9 for 10.0.0.99 -> set vrrp.vrid to one that is free, such as 53, on all nodes',
  ]);
  const [last = ''] = vridOf([heard('10.0.0.9', '10.0.0.99', { vrid: 255 })], config({ 'vrrp-vrid': '255' }));
  assert.match(last, /such as 1, on all nodes$/);
  assert.match(
    vridOf([heard('10.0.0.2', '10.0.0.10,10.0.0.11')])[0] ?? '',
    /^fail/,
    'more addresses than ours',
  );
});

test('our VIP and id from a stranger, in another version or at another interval', () => {
  assert.match(
    vridOf([heard('10.0.0.9', '10.0.0.10')])[0] ?? '',
    /^fail: .* is not in peers -> add it to peers/,
  );
  assert.match(
    vridOf([heard('10.0.0.2', '10.0.0.10', { version: 2 })])[0] ?? '',
    /^fail: .* in VRRP version 2/,
  );
  const slow = heard('10.0.0.2', '10.0.0.10', { advertisementIntervalMs: 2000 });
  assert.match(vridOf([slow])[0] ?? '', /^warn: .* each 2000 ms, and here it is 100 ms/);
  const slow2 = heard('10.0.0.2', '10.0.0.10', { advertisementIntervalMs: 2000, version: 2 });
  assert.match(vridOf([slow2], config({ 'vrrp-version': '2' }))[0] ?? '', /^fail: .* each 2000 ms/);
});

test('where this node sends from no address of peers, others may do so too', () => {
  const apart = { ...ETH0, sourceByFamily: { IPv4: parseIp('10.1.0.1'), IPv6: null } };
  const other = [{ family: 'IPv4' as const, heard: [heard('10.1.0.2', '10.0.0.10')], refusal: null }];
  assert.match(judgeVrid(config(), apart, other).map(tell)[0] ?? '', /^ok/);
  const listed = config({ 'vrrp-senders': '10.1.0.1,10.1.0.3' });
  assert.match(judgeVrid(listed, apart, other).map(tell)[0] ?? '', /^fail: .*, and is not in vrrp\.senders/);
});

test('a node that advertises a priority of this one is a warning', () => {
  const [text = ''] = vridOf([heard('10.0.0.2', '10.0.0.10', { priority: 254 })]);
  assert.match(text, /^warn: .* and priority 254, which is one of this node's own -> give each node/);
});

test('over IPv6 the sender is link-local, and so may be the first address', () => {
  const dual = config({ vip: '10.0.0.10,fd00::10' });
  assert.match(vridOf([heard('fe80::2', 'fd00::10')], dual)[0] ?? '', /^ok/);
  assert.match(vridOf([heard('fe80::2', 'fe80::100,fd00::10')], dual)[0] ?? '', /^ok/);
  assert.match(vridOf([heard('fe80::2', 'fd00::99')], dual)[0] ?? '', /^fail/);
  const listed = config({ vip: '10.0.0.10,fd00::10', 'vrrp-senders': 'fe80::1,fe80::2' });
  assert.match(vridOf([heard('fe80::2', 'fd00::10')], listed)[0] ?? '', /^ok/);
  const notListed = vridOf([heard('fe80::9', 'fd00::10')], listed)[0] ?? '';
  assert.match(notListed, /^fail: .* and is not in vrrp\.senders/);
});

function vipOf(
  sighting: Partial<VipSighting>,
  heardRouters: readonly HeardRouter[] = [],
  refusal: string | null = null,
): string {
  const all = { bound: null, answeredBy: null, ...sighting };
  return tell(judgeVip(parseIp('10.0.0.10')!, config(), all, { heard: heardRouters, refusal }));
}

test('what was not listened for is skipped with the reason, and what was heard beside it still counts', () => {
  const refused: Listening = { family: 'IPv6', heard: [], refusal: 'no IPv6 here' };
  const skipped = 'skip: did not listen for other IPv6 routers of vrid 51 on eth0: no IPv6 here';
  assert.deepEqual(judgeVrid(config(), ETH0, [refused]).map(tell), [skipped]);
  const other: Listening = { family: 'IPv4', heard: [heard('10.0.0.9', '10.0.0.99')], refusal: null };
  const [first = '', second] = judgeVrid(config(), ETH0, [other, refused]).map(tell);
  assert.match(first, /^fail: vrid 51 is in use/);
  assert.equal(second, skipped);
});

test('a VIP that a host answers for is nobody to be taken from while VRRP was not listened for', () => {
  const text = vipOf({ answeredBy: '02:00:00:00:00:09' }, [], 'it could not');
  assert.match(text, /^warn: .* is not known, as VRRP was not listened for -> /);
});

test('a VIP may be free, leased here, or held by who advertises it; everything else is somebody else', () => {
  const mac = '02:00:00:00:00:09';
  const address = { linkIndex: 2, address: parseIp('10.0.0.10')!, prefixLength: 32, tentative: false };
  assert.equal(vipOf({}), 'ok: no host answers for 10.0.0.10');
  assert.equal(
    vipOf({ answeredBy: mac }, [heard('10.0.0.2', '10.0.0.10')]),
    `ok: 10.0.0.10 is held by 10.0.0.2 (${mac}), which advertises it with vrid 51`,
  );
  assert.match(
    vipOf({ answeredBy: mac }),
    /^fail: 10\.0\.0\.10 is answered for by 02:00:00:00:00:09, which does not/,
  );
  assert.match(vipOf({ answeredBy: mac }, [heard('10.0.0.2', '10.0.0.10', { vrid: 9 })]), /^fail/);
  assert.match(
    vipOf({}, [heard('10.0.0.2', '10.0.0.10')]),
    /^warn: 10\.0\.0\.2 advertises 10\.0\.0\.10, but no host/,
  );
  assert.equal(
    vipOf({ bound: { linkName: 'eth0', address: { ...address, validSeconds: 2 } } }),
    'ok: 10.0.0.10 is bound on eth0 of this node, as a lease of kube-vrrp',
  );
  assert.match(
    vipOf({ bound: { linkName: 'eth0', address: { ...address, validSeconds: null } } }),
    /^fail: .* for ever, so not by kube-vrrp -> stop .* "ip address del 10\.0\.0\.10\/32 dev eth0"$/,
  );
});

test('listening is long enough for three intervals, and has an end', () => {
  assert.equal(listenMs(config()), 3500);
  assert.equal(listenMs(config({ 'vrrp-advertisement-interval': '5s' })), 15_000);
  assert.equal(listenMs(config({ 'vrrp-advertisement-interval': '40s' })), 30_000);
});
