import assert from 'node:assert/strict';
import { test } from 'node:test';

import { closestName } from './suggest.ts';

const FLAGS = ['vip', 'peers', 'interface', 'vrrp-vrid', 'proxy-port', 'health-ca-file', 'admin-address'];

test('a name is found again with a letter missing, added, wrong or swapped', () => {
  assert.equal(closestName('intrface', FLAGS), 'interface');
  assert.equal(closestName('peerss', FLAGS), 'peers');
  assert.equal(closestName('proxy-part', FLAGS), 'proxy-port');
  assert.equal(closestName('admin-adderss', FLAGS), 'admin-address');
});

test('case and separators do not count', () => {
  assert.equal(closestName('Health_CaFile', FLAGS), 'health-ca-file');
});

test('the last part of a name is enough', () => {
  assert.equal(closestName('vrid', FLAGS), 'vrrp-vrid');
  assert.equal(closestName('caFile', FLAGS), null);
  assert.equal(closestName('ca-file', FLAGS), 'health-ca-file');
});

test('what resembles nothing gets no suggestion', () => {
  assert.equal(closestName('timeout', FLAGS), null);
  assert.equal(closestName('', FLAGS), null);
  assert.equal(closestName('x'.repeat(100_000), FLAGS), null);
});
