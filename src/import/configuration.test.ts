import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { parseConfig } from '../config/parse.ts';
import { importedConfiguration } from './configuration.ts';
import { type Imported, Importing, type PlainValue } from './imported.ts';

function source(name: string, values: Record<string, PlainValue>): Imported {
  const importing = new Importing(name);
  for (const [index, [path, value]] of Object.entries(values).entries())
    importing.set(path, value, index + 1);
  return importing;
}

const KEEPALIVED = source('k.conf', {
  vip: '10.0.0.9',
  'vrrp.vrid': 7,
  'vrrp.version': 2,
  'vrrp.authPass': '42',
  peers: ['10.0.0.10', '10.0.0.2'],
});
const HAPROXY = source('h.cfg', { 'proxy.port': 8443, peers: ['10.0.0.1', '10.0.0.2'] });

const NOTHING = { env: {}, flags: [] };

suite('a configuration made of imported values', () => {
  test('is one that parses, with the origin of each value beside it', () => {
    const result = importedConfiguration([KEEPALIVED, HAPROXY], NOTHING);
    assert.ok(result.ok);
    assert.match(result.yaml, / *# k\.conf line 2\n {2}vrid: 7\n/);
    const parsed = parseConfig({ file: { name: 'f', text: result.yaml }, env: {}, flags: [] });
    assert.ok(parsed.ok);
    assert.equal(parsed.value.vrrp.authPass, '42');
    assert.equal(parsed.value.proxy.port, 8443);
  });

  test('peers are those of all files, in an order that every node finds, whoever is missing in its own', () => {
    const result = importedConfiguration([KEEPALIVED, HAPROXY], NOTHING);
    assert.ok(result.ok);
    const parsed = parseConfig({ file: { name: 'f', text: result.yaml }, env: {}, flags: [] });
    assert.ok(parsed.ok);
    assert.deepEqual(
      parsed.value.peers.map(({ text }) => text),
      ['10.0.0.1', '10.0.0.2', '10.0.0.10'],
    );
  });

  test('nodes that one file alone has are named', () => {
    const { findings } = importedConfiguration([KEEPALIVED, HAPROXY], NOTHING);
    assert.match(findings.map(({ text }) => text).join('\n'), /^10\.0\.0\.10, 10\.0\.0\.1 are in peers/m);
  });

  test('a later file beats an earlier one, and says so', () => {
    const result = importedConfiguration([KEEPALIVED, source('v.yaml', { vip: '10.0.0.8' })], NOTHING);
    assert.ok(result.ok);
    assert.match(result.yaml, /^vip: 10\.0\.0\.8$/m);
    assert.deepEqual(result.findings, [
      { where: 'v.yaml line 1', text: 'vip is 10.0.0.8, and not 10.0.0.9 as k.conf line 1 has it' },
    ]);
  });

  test('a flag beats a variable, which beats the files', () => {
    const flags = [
      { name: 'peers', value: '10.0.0.3,10.0.0.4' },
      { name: 'vrrp-vrid', value: '9' },
    ];
    const result = importedConfiguration([KEEPALIVED], {
      env: { KUBE_VRRP_VRRP_VRID: '8', KUBE_VRRP_PROXY_PORT: '7000' },
      flags,
    });
    assert.ok(result.ok);
    assert.match(result.yaml, /# flag --peers\npeers:\n {2}- 10\.0\.0\.3\n {2}- 10\.0\.0\.4\n/);
    assert.match(result.yaml, /# flag --vrrp-vrid\n {2}vrid: 9\n/);
    assert.match(result.yaml, /# env KUBE_VRRP_PROXY_PORT\n {2}port: 7000\n/);
  });

  test('what makes no configuration is told with the line that it came from', () => {
    const result = importedConfiguration([source('k.conf', { vip: '10.0.0.9', 'vrrp.vrid': 300 })], NOTHING);
    assert.ok(!result.ok);
    const vrid = result.problems.find(({ path }) => path === 'vrrp.vrid');
    assert.equal(vrid?.where, 'k.conf line 2');
    assert.ok(result.problems.some(({ path, message }) => path === 'peers' && message.startsWith('missing')));
  });
});
