import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { parseIp } from '../ip/address.ts';
import type { InterfaceAddress, Link, Route } from '../net/rtnetlink-messages.ts';
import { fitLink, resolveNode, type ResolvedNode } from './node.ts';

const LO: Link = { index: 1, name: 'lo', altNames: [], mac: null, up: true };
const ETH0: Link = { index: 2, name: 'eth0', altNames: [], mac: Uint8Array.of(2, 0, 0, 0, 0, 1), up: true };
const ETH1: Link = { index: 3, name: 'eth1', altNames: [], mac: Uint8Array.of(2, 0, 0, 0, 0, 2), up: true };
const LINKS = [LO, ETH0, ETH1];
const LOOPBACKS = [on(LO, '127.0.0.1/8'), on(LO, '::1/128')];

function on(link: Link, text: string, rest: Partial<InterfaceAddress> = {}): InterfaceAddress {
  const [address = '', prefixLength] = text.split('/');
  return {
    linkIndex: link.index,
    address: parseIp(address)!,
    prefixLength: Number(prefixLength),
    validSeconds: null,
    tentative: false,
    ...rest,
  };
}

function route(link: Link, network: string, metric = 0): Route {
  const [address = '', prefixLength] = network.split('/');
  return { linkIndex: link.index, address: parseIp(address)!, prefixLength: Number(prefixLength), metric };
}

function config(vip: string, peers: string, rest: Record<string, string> = {}): Config {
  const flags = Object.entries({ vip, peers, ...rest }).map(([name, value]) => ({ name, value }));
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

function resolved(
  from: Config,
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[] = [],
): ResolvedNode {
  const resolution = resolveNode(from, LINKS, [...LOOPBACKS, ...addresses], routes);
  assert.ok(resolution.ok, resolution.ok ? '' : resolution.problems.map(({ text }) => text).join('\n'));
  return resolution.node;
}

function problems(
  from: Config,
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[] = [],
): string[] {
  const resolution = resolveNode(from, LINKS, [...LOOPBACKS, ...addresses], routes);
  assert.ok(!resolution.ok, 'expected problems');
  return resolution.problems.map(({ reason, text }) => `${reason}: ${text}`);
}

test('the link is the one with the subnet of the VIP, and this node is its address in peers', () => {
  const node = resolved(config('10.1.0.10', '10.1.0.2,10.1.0.1'), [
    on(ETH0, '10.0.0.1/24'),
    on(ETH1, '10.1.0.1/24'),
  ]);
  assert.equal(node.link.name, 'eth1');
  assert.equal(node.self.text, '10.1.0.1');
  assert.equal(node.peerIndex, 1);
  assert.equal(node.sourceByFamily.IPv4?.text, '10.1.0.1');
  assert.equal(node.sourceByFamily.IPv6, null);
  assert.equal(node.subnetByVip.get('10.1.0.10')?.prefixLength, 24);
});

test('a VIP that no host of the subnet can have is a problem, in whichever subnet of the link', () => {
  const peers = '10.1.0.1';
  const own = [on(ETH0, '10.1.0.1/24')];
  assert.deepEqual(problems(config('10.1.0.255', peers), own), [
    'vip-reserved: vip 10.1.0.255 is the broadcast address of 10.1.0.0/24, which no host can have: choose another address of that subnet',
  ]);
  assert.match(
    problems(config('10.1.0.0', peers), own)[0] ?? '',
    /is the network address of 10\.1\.0\.0\/24/,
  );
  const both = [...own, on(ETH0, '10.1.5.1/16')];
  assert.match(
    problems(config('10.1.255.255', peers), both)[0] ?? '',
    /broadcast address of 10\.1\.0\.0\/16/,
  );
  const ipv6 = [on(ETH0, 'fd00::1/64'), on(ETH0, 'fe80::1/64')];
  assert.match(
    problems(config('fd00::', 'fd00::1'), ipv6)[0] ?? '',
    /is the subnet-router anycast address of/,
  );
});

test('the longest prefix wins, then a peer, then the lowest index', () => {
  const vip = '10.1.2.10';
  const wide = on(ETH0, '10.0.0.1/8');
  assert.equal(resolved(config(vip, '10.0.0.1'), [wide, on(ETH1, '10.1.2.1/24')]).link.name, 'eth1');
  const two = [on(ETH0, '10.1.2.1/24'), on(ETH1, '10.1.2.2/24')];
  assert.equal(resolved(config(vip, '10.1.2.2'), two).link.name, 'eth1');
  assert.equal(resolved(config(vip, '10.9.9.9'), [...two, on(LO, '10.9.9.9/32')]).link.name, 'eth0');
});

test('a configured interface beats the one with the subnet', () => {
  const addresses = [on(ETH0, '10.0.0.1/24'), on(ETH1, '10.0.0.2/16')];
  const from = config('10.0.0.10', '10.0.0.1,10.0.0.2', { interface: 'eth1' });
  const node = resolved(from, addresses);
  assert.equal(node.link.name, 'eth1');
  assert.equal(node.self.text, '10.0.0.1', 'self is on another link');
  assert.equal(node.sourceByFamily.IPv4?.text, '10.0.0.2');
});

test('a VIP that is bound here, whatever its prefix, is neither a subnet nor a source nor this node', () => {
  const bound = on(ETH1, '10.0.0.10/24', { validSeconds: 2 });
  const node = resolved(config('10.0.0.10', '10.0.0.1'), [bound, on(ETH0, '10.0.0.1/24')]);
  assert.equal(node.link.name, 'eth0');
  const same = resolved(config('10.0.0.10', '10.0.0.1'), [on(ETH0, '10.0.0.10/32'), on(ETH0, '10.0.0.1/24')]);
  assert.equal(same.sourceByFamily.IPv4?.text, '10.0.0.1');
});

test('a link that is down is found all the same: it may come up', () => {
  const down = { ...ETH0, up: false };
  const resolution = resolveNode(config('10.0.0.10', '10.0.0.1'), [LO, down], [on(down, '10.0.0.1/24')], []);
  assert.ok(resolution.ok && !resolution.node.link.up);
});

test('dual stack: IPv6 is sent from the link-local address, one that is not tentative if possible', () => {
  const from = config('10.0.0.10,fd00::10', 'fd00::1,10.0.0.1');
  const addresses = [
    on(ETH0, '10.0.0.7/24'),
    on(ETH0, '10.0.0.1/24'),
    on(ETH0, 'fd00::1/64'),
    on(ETH0, 'fe80::1/64', { tentative: true }),
    on(ETH0, 'fe80::2/64'),
  ];
  const node = resolved(from, addresses);
  assert.equal(node.self.text, 'fd00::1', 'the first in peers, so that places differ between nodes');
  assert.equal(node.peerIndex, 0);
  assert.equal(node.sourceByFamily.IPv4?.text, '10.0.0.1', 'a peer before other addresses');
  assert.equal(node.sourceByFamily.IPv6?.text, 'fe80::2');
  assert.deepEqual([...node.subnetByVip.keys()], ['10.0.0.10', 'fd00::10']);
});

test('IPv6 is sent from a link-local address that the others believe, where these are listed', () => {
  const listing = (senders: string): Config => config('fd00::10', 'fd00::1', { 'vrrp-senders': senders });
  const addresses = [on(ETH0, 'fd00::1/64'), on(ETH0, 'fe80::1/64'), on(ETH0, 'fe80::2/64')];
  assert.equal(resolved(listing('fe80::2,fe80::3'), addresses).sourceByFamily.IPv6?.text, 'fe80::2');
  assert.deepEqual(problems(listing('fe80::3'), addresses), [
    "no-source: eth0 has fe80::1, fe80::2 and no IPv6 address of vrrp.senders, so the other nodes would drop its advertisements: add its address to vrrp.senders on every node, or set interface to the one that has this node's address of vrrp.senders",
  ]);
});

test('on a network of its own, VRRP is sent from an address of vrrp.senders, and else any host there is believed', () => {
  const apart = [on(ETH0, '10.0.0.1/24'), on(ETH1, '10.1.0.28/24'), on(ETH1, '10.1.0.29/24')];
  const of = (rest: Record<string, string>): Config => config('10.1.0.10', '10.0.0.1,10.0.0.2', rest);
  const unlisted = resolved(of({}), apart);
  assert.equal(unlisted.sourceByFamily.IPv4?.text, '10.1.0.28');
  assert.match(
    unlisted.warnings[0] ?? '',
    /^VRRP is sent from 10\.1\.0\.28, which is not in peers, .*: list the /,
  );
  for (const transport of ['multicast', 'unicast']) {
    const senders = { 'vrrp-senders': '10.1.0.30,10.1.0.29', 'vrrp-transport': transport };
    const listed = resolved(of(senders), apart);
    assert.equal(listed.sourceByFamily.IPv4?.text, '10.1.0.29');
    assert.deepEqual(listed.warnings, []);
  }
  assert.match(
    problems(of({ 'vrrp-senders': '10.1.0.30' }), apart)[0] ?? '',
    /^no-source: eth1 has 10\.1\.0\.28, 10\.1\.0\.29 and no IPv4 address of vrrp\.senders, /,
  );
});

test('IPv6 unicast is sent from the address that peers know, not from the link-local one', () => {
  const from = config('fd00::10', 'fd00::2,fd00::1', { 'vrrp-transport': 'unicast' });
  const addresses = [on(ETH0, 'fe80::1/64'), on(ETH0, 'fd00::7/64'), on(ETH0, 'fd00::1/64')];
  assert.equal(resolved(from, addresses).sourceByFamily.IPv6?.text, 'fd00::1');
  const elsewhere = [on(ETH0, 'fe80::1/64'), on(ETH0, 'fd00::7/64'), on(ETH1, 'fd00::1/128')];
  assert.deepEqual(problems(from, elsewhere), [
    "no-source: eth0 has fd00::7 and no IPv6 address of peers, so the other nodes would drop its advertisements: add its address to peers on every node, or set interface to the one that has this node's address of peers",
  ]);
});

test('a VIP outside every subnet of the link is told with the subnets that there are', () => {
  assert.deepEqual(
    problems(config('10.0.9.9', '10.0.0.1'), [on(ETH0, '10.0.0.1/24')], [route(ETH0, '0.0.0.0/0')]),
    [
      'vip-off-link: vip 10.0.9.9 is in no subnet of eth0 (10.0.0.0/24): choose an address in one of them, or set interface if the network routes the VIP to that link',
    ],
  );
  const second = config('10.0.0.10,fd00::10', '10.0.0.1');
  assert.deepEqual(problems(second, [on(ETH0, '10.0.0.1/24'), on(ETH0, 'fe80::1/64')]), [
    'vip-off-link: vip fd00::10 is in no subnet of eth0 (10.0.0.0/24): choose an address in one of them, or set interface if the network routes the VIP to that link',
  ]);
});

test('the network of an on-link route is a subnet: a /128 of DHCPv6, a /32 of IPv4, or one without an address', () => {
  const dhcp = [on(ETH0, 'fd00::7:1/128'), on(ETH0, 'fe80::1/64')];
  const routes = [route(ETH1, '::/0'), route(ETH0, 'fd00::/64', 1024), route(ETH0, '10.0.0.0/24')];
  const ipv6 = resolved(config('fd00::10', 'fd00::7:1,fd00::7:2'), dhcp, routes);
  assert.equal(ipv6.link.name, 'eth0');
  assert.equal(ipv6.subnetByVip.get('fd00::10')?.prefixLength, 64);
  assert.deepEqual(ipv6.warnings, []);
  const ipv4 = resolved(config('10.0.0.10', '10.0.0.1'), [on(ETH0, '10.0.0.1/32')], routes);
  assert.deepEqual([ipv4.link.name, ipv4.sourceByFamily.IPv4?.text], ['eth0', '10.0.0.1']);
  const named = config('fd00::10', 'fd00::7:1', { interface: 'eth0' });
  assert.deepEqual(resolved(named, dhcp, routes).warnings, []);
  const [reserved = ''] = problems(config('10.0.0.255', '10.0.0.1'), [on(ETH0, '10.0.0.1/32')], routes);
  assert.match(reserved, /^vip-reserved: /);
});

test('without a subnet the default route of lowest metric chooses the link, and is no subnet itself', () => {
  const addresses = [on(ETH0, '10.0.0.1/24'), on(ETH1, '10.1.0.1/24')];
  const routes = [route(ETH0, '0.0.0.0/0', 200), route(ETH1, '0.0.0.0/0', 100), route(ETH0, '::/0')];
  assert.match(
    problems(config('10.5.0.10', '10.0.0.1'), addresses, routes)[0] ?? '',
    /in no subnet of eth1 /,
  );
});

test('on an interface that the user has named, a VIP of another subnet is a warning', () => {
  const named = config('10.5.0.10', '10.0.0.1', { interface: 'eth0' });
  const node = resolved(named, [on(ETH0, '10.0.0.1/24')]);
  assert.equal(node.sourceByFamily.IPv4?.text, '10.0.0.1');
  assert.deepEqual(node.warnings, [
    'vip 10.5.0.10 is in no subnet of eth0 (10.0.0.0/24): this works where the routers of the network send its packets to this link',
  ]);
});

test('peers without this node are told with the addresses that it has', () => {
  const addresses = [on(ETH0, '10.0.0.4/24'), on(ETH0, 'fe80::1/64')];
  assert.deepEqual(problems(config('10.0.0.10', '10.0.0.1,10.0.0.2'), addresses), [
    'not-a-peer: peers [10.0.0.1, 10.0.0.2] does not include any address of this node (10.0.0.4): add it, in the same place on every node',
  ]);
});

test('an address in one subnet with peers that is none of them is no source: the others would drop what it sends', () => {
  const both = [on(ETH0, '10.0.0.1/24'), on(ETH1, '10.0.0.29/24')];
  const peers = '10.0.0.1,10.0.0.2';
  assert.deepEqual(problems(config('10.0.0.10', peers, { interface: 'eth1' }), both), [
    "no-source: eth1 has 10.0.0.29 and no IPv4 address of peers, so the other nodes would drop its advertisements: add its address to peers on every node, or set interface to the one that has this node's address of peers",
  ]);
  assert.equal(resolved(config('10.0.0.10', peers), both).link.name, 'eth0');
  const apart = resolved(config('10.1.0.10', peers, { interface: 'eth1' }), [
    on(ETH0, '10.0.0.1/24'),
    on(ETH1, '10.1.0.29/24'),
  ]);
  assert.equal(apart.sourceByFamily.IPv4?.text, '10.1.0.29', 'a network of its own for VRRP');
});

test('everything in the way is told at once', () => {
  const from = config('fd00::10', '10.0.0.1', { interface: 'eth1' });
  assert.deepEqual(problems(from, [on(ETH0, '10.0.0.4/24')]), [
    'not-a-peer: peers [10.0.0.1] does not include any address of this node (10.0.0.4): add it, in the same place on every node',
    'no-source: eth1 has no IPv6 link-local address to send VRRP from: turn IPv6 on there (sysctl net.ipv6.conf.eth1.disable_ipv6=0)',
  ]);
});

test('a link is found by a further name of it, but the first names come first', () => {
  const renamed = { ...ETH1, altNames: ['enp1s0', 'eth0'] };
  const resolution = (name: string) =>
    resolveNode(
      config('10.0.0.10', '10.0.0.1', { interface: name }),
      [LO, ETH0, renamed],
      [on(ETH0, '10.0.0.1/24'), on(ETH1, '10.0.0.2/24')],
      [],
    );
  const nameOf = (name: string): string | undefined => {
    const result = resolution(name);
    return (result.ok ? result.node.link : result.link)?.name;
  };
  assert.deepEqual([nameOf('enp1s0'), nameOf('eth0')], ['eth1', 'eth0']);
});

test('a link without an Ethernet address is a warning, as nothing announces the VIP there', () => {
  const wireguard = { ...ETH0, mac: null };
  const resolution = resolveNode(
    config('10.0.0.10', '10.0.0.1'),
    [LO, wireguard],
    [on(ETH0, '10.0.0.1/24')],
    [],
  );
  assert.ok(resolution.ok);
  assert.match(
    resolution.node.warnings.join('\n'),
    /^eth0 has no Ethernet address, so that 10\.0\.0\.10 cannot/,
  );
});

test('an interface that is missing is told apart from one that is wrong', () => {
  const addresses = [on(ETH0, '10.0.0.1/24')];
  assert.deepEqual(problems(config('10.0.0.10', '10.0.0.1', { interface: 'eth9' }), addresses), [
    'no-link: interface eth9 does not exist: this node has lo, eth0, eth1',
  ]);
  assert.deepEqual(problems(config('10.5.0.10', '10.0.0.1'), addresses), [
    'no-link: no interface has a subnet with vip 10.5.0.10, and there is no default route: set interface, or choose a vip from a subnet of this node',
  ]);
});

test('long lists are cut', () => {
  const many = Array.from({ length: 30 }, (_, index) => on(ETH0, `10.0.0.${index + 100}/24`));
  const [text = ''] = problems(config('10.0.0.10', '10.0.0.1'), many);
  assert.match(text, /10\.0\.0\.107 and 22 more\)/);
});

test('the link that is followed is one that resolveNode has nothing against, the present one first', () => {
  const addresses = fc.subarray([
    on(ETH0, '10.0.0.1/24'),
    on(ETH1, '10.0.0.1/24'),
    on(ETH0, '10.0.0.7/24'),
    on(ETH1, '10.0.0.9/25'),
    on(ETH1, '10.9.0.1/16'),
    on(ETH0, '10.0.0.10/32'),
    on(ETH1, 'fd00::1/64'),
    on(ETH0, 'fd00::2/64'),
    on(ETH0, 'fe80::1/64'),
    on(ETH1, 'fe80::2/64', { tentative: true }),
  ]);
  const configs = fc.constantFrom(
    config('10.0.0.10', '10.0.0.1,10.0.0.2'),
    config('10.0.0.10', '10.9.0.1,10.9.0.2'),
    config('10.0.0.10,fd00::10', '10.0.0.1,10.0.0.2,fd00::1,fd00::3'),
    config('10.0.0.10', '10.0.0.1,10.0.0.9', { 'vrrp-transport': 'unicast' }),
  );
  const links = fc.subarray(LINKS);
  const names = fc.constantFrom('eth0', 'eth1', 'gone');
  const property = fc.property(configs, links, addresses, names, (from, present, own, current) => {
    const nameOf = (name: string | null): string | null => {
      const resolution = resolveNode({ ...from, interface: name }, present, own, []);
      return resolution.ok && resolution.node.subnetByVip.size === from.vips.length
        ? resolution.node.link.name
        : null;
    };
    assert.equal(fitLink(from, present, own, current)?.name ?? null, nameOf(current) ?? nameOf(null));
  });
  fc.assert(property, { numRuns: 2000 });
});
