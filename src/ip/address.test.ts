import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatNetwork, parseIp, reservedIn } from './address.ts';

function placeIn(address: string, network: string): string | null {
  const [prefix = '', length] = network.split('/');
  return reservedIn(parseIp(address)!, parseIp(prefix)!, Number(length));
}

test('the first and the last address of an IPv4 subnet are no hosts', () => {
  assert.equal(placeIn('10.0.0.0', '10.0.0.1/24'), 'network address');
  assert.equal(placeIn('10.0.0.255', '10.0.0.1/24'), 'broadcast address');
  assert.equal(placeIn('10.0.3.255', '10.0.1.1/22'), 'broadcast address');
  assert.equal(placeIn('10.0.1.255', '10.0.1.1/22'), null);
  assert.equal(placeIn('10.0.0.7', '10.0.0.5/29'), 'broadcast address');
  assert.equal(placeIn('10.0.0.8', '10.0.0.5/29'), null);
  assert.equal(placeIn('10.255.255.255', '10.0.0.1/8'), 'broadcast address');
});

test('subnets of one or two addresses reserve none (RFC 3021)', () => {
  for (const network of ['10.0.0.0/31', '10.0.0.1/31', '10.0.0.0/32'])
    assert.equal(placeIn('10.0.0.0', network), null);
  assert.equal(placeIn('10.0.0.3', '10.0.0.1/30'), 'broadcast address');
});

test('the first address of an IPv6 subnet belongs to its routers (RFC 4291 2.6.1), the last to a host', () => {
  assert.equal(placeIn('fd00::', 'fd00::1/64'), 'subnet-router anycast address');
  assert.equal(placeIn('fd00::ffff:ffff:ffff:ffff', 'fd00::1/64'), null);
  assert.equal(placeIn('fd00::', 'fd00::1/127'), null);
  assert.equal(placeIn('fd00::', 'fd00::/128'), null);
  assert.equal(placeIn('fd00::', '10.0.0.0/8'), null);
});

test('a network is written by its first address', () => {
  assert.equal(formatNetwork(parseIp('10.1.2.3')!, 20), '10.1.0.0/20');
  assert.equal(formatNetwork(parseIp('fd00::7')!, 64), 'fd00::/64');
});
