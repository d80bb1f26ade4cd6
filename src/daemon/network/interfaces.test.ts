import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import type { InterfaceAddress, Link } from '../../net/rtnetlink-messages.ts';
import type { Config } from '../../config/config.ts';
import { InterfaceTable, findInterface, findRouterLink } from './interfaces.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const SELF = ip('10.0.0.1');
const config = (transport: 'multicast' | 'unicast' = 'multicast'): Config =>
  ({
    vips: [ip('10.0.0.100'), ip('fd00::100')],
    peers: [SELF, ip('fd00::1')],
    vrrp: { transport, senders: [] },
  }) as unknown as Config;
const eth0: Link = { index: 2, name: 'eth0', altNames: [], mac: Uint8Array.of(2, 0, 0, 0, 0, 1), up: true };
const on = (text: string, prefixLength: number, tentative = false): InterfaceAddress => ({
  linkIndex: 2,
  address: ip(text),
  prefixLength,
  validSeconds: null,
  tentative,
});

const tableOf = (link: Link, ...addresses: InterfaceAddress[]): InterfaceTable => {
  const table = new InterfaceTable();
  table.replace([link], addresses);
  return table;
};
const reason = (
  table: InterfaceTable,
  family: 'IPv4' | 'IPv6',
  transport: 'multicast' | 'unicast' = 'multicast',
): string => {
  const verdict = findRouterLink(table, 'eth0', family, config(transport));
  return verdict.usable ? `from ${verdict.link.source.text}` : verdict.reason;
};

test("IPv4 sends from this node's own address, else from the first that no peer is in the subnet of, never from a VIP", () => {
  assert.equal(reason(tableOf(eth0, on('10.0.0.7', 24), on('10.0.0.1', 24)), 'IPv4'), 'from 10.0.0.1');
  assert.equal(reason(tableOf(eth0, on('10.0.0.100', 32), on('10.9.0.7', 24)), 'IPv4'), 'from 10.9.0.7');
  assert.equal(
    reason(tableOf(eth0, on('10.0.0.100', 32)), 'IPv4'),
    'eth0 has no IPv4 address to send VRRP from: give it one',
  );
  assert.match(
    reason(tableOf(eth0, on('10.0.0.7', 24)), 'IPv4'),
    /^eth0 has 10\.0\.0\.7 and no IPv4 address of peers, so the other nodes would drop its advertisements: /,
  );
});

test('IPv6 sends from the link-local address, once duplicate address detection is done', () => {
  assert.equal(reason(tableOf(eth0, on('fd00::1', 64), on('fe80::1', 64)), 'IPv6'), 'from fe80::1');
  assert.match(
    reason(tableOf(eth0, on('fe80::1', 64, true)), 'IPv6'),
    /^eth0 cannot send from fe80::1 until duplicate address detection has passed it; "dadfailed"/u,
  );
  assert.equal(
    reason(tableOf(eth0, on('fd00::100', 128, true)), 'IPv6'),
    'eth0 has no IPv6 link-local address to send VRRP from: turn IPv6 on there (sysctl net.ipv6.conf.eth0.disable_ipv6=0)',
  );
});

test('unicast sends from an address that the others know from peers, over IPv6 too', () => {
  const table = tableOf(eth0, on('fe80::1', 64), on('fd00::1', 64), on('10.0.0.7', 24));
  assert.equal(reason(table, 'IPv6', 'unicast'), 'from fd00::1');
  assert.match(reason(table, 'IPv4', 'unicast'), /^eth0 has 10\.0\.0\.7 and no IPv4 address of peers, /);
});

test('a node that is renumbered leaves the election, and names the address that is not in peers', () => {
  const elsewhere = tableOf(eth0, on('10.9.0.7', 24));
  const verdict = findRouterLink(elsewhere, 'eth0', 'IPv4', config(), ip('10.0.0.1'));
  assert.ok(!verdict.usable);
  assert.match(verdict.reason, /^eth0 has 10\.9\.0\.7 and no IPv4 address of peers, /);
  const apart = findRouterLink(elsewhere, 'eth0', 'IPv4', config(), ip('10.9.0.1'));
  assert.ok(apart.usable, 'VRRP had a network of its own from the beginning');
});

test('a configured interface may be given by a further name of it', () => {
  const table = tableOf({ ...eth0, altNames: ['enp1s0'] }, on('10.0.0.1', 24));
  assert.equal(findInterface(table, withInterface('enp1s0'), 'eth0'), 'eth0');
  assert.equal(findInterface(table, withInterface('gone'), 'eth0'), 'gone');
});

test('a link that is down, or gone, is not used', () => {
  assert.equal(
    reason(tableOf({ ...eth0, up: false }, on('10.0.0.1', 24)), 'IPv4'),
    'eth0 is down or has no carrier',
  );
  assert.equal(reason(new InterfaceTable(), 'IPv4'), 'there is no interface eth0');
});

test('notifications keep the table up to date', () => {
  const table = tableOf(eth0, on('10.0.0.1', 24));
  table.apply({ kind: 'addressRemoved', address: on('10.0.0.1', 24) });
  assert.equal(table.has(SELF), false);
  table.apply({ kind: 'addressAdded', address: on('10.0.0.1', 24) });
  assert.equal(table.has(SELF), true);
  table.apply({ kind: 'link', link: { ...eth0, up: false } });
  assert.equal(table.linkByName('eth0')?.up, false);
  table.apply({ kind: 'linkRemoved', index: 2, name: 'eth0' });
  assert.equal(table.has(SELF), false);
  assert.equal(table.linkByName('eth0'), null);
});

const withInterface = (name: string | null): Config => ({
  ...config(),
  vips: [ip('10.0.0.100')],
  interface: name,
});
const eth1: Link = { ...eth0, index: 3, name: 'eth1' };

test('an interface that was found, not configured, is followed when the subnet of the VIP comes back under another name', () => {
  const moved = tableOf(eth1, { ...on('10.0.0.1', 24), linkIndex: 3 });
  assert.equal(findInterface(moved, withInterface(null), 'eth0'), 'eth1');
  assert.equal(findInterface(moved, withInterface('eth0'), 'eth0'), 'eth0');
});

test('an interface stays chosen while it has the subnet of the VIP, or while none has', () => {
  const both = new InterfaceTable();
  both.replace([eth0, eth1], [on('10.0.0.1', 24), { ...on('10.0.0.2', 25), linkIndex: 3 }]);
  assert.equal(findInterface(both, withInterface(null), 'eth0'), 'eth0');
  assert.equal(findInterface(both, withInterface(null), 'eth1'), 'eth1');
  assert.equal(findInterface(tableOf(eth1), withInterface(null), 'eth0'), 'eth0');
});

test('a change that comes while everything is being read is not undone by what was read before it', () => {
  const table = tableOf(eth0, on('10.0.0.1', 24), on('10.0.0.9', 24));
  table.beginReading();
  table.apply({ kind: 'link', link: { ...eth0, up: false } });
  table.apply({ kind: 'addressRemoved', address: on('10.0.0.9', 24) });
  table.apply({ kind: 'addressAdded', address: on('10.0.0.8', 24) });
  table.replace([eth0], [on('10.0.0.1', 24), on('10.0.0.9', 24)]);
  assert.equal(table.linkByName('eth0')?.up, false);
  assert.deepEqual(
    table.allAddresses().map(({ address }) => address.text),
    ['10.0.0.1', '10.0.0.8'],
  );
  table.replace([eth0], []);
  assert.deepEqual([table.linkByName('eth0')?.up, table.allAddresses()], [true, []], 'once only');
});
