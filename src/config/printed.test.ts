import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse } from 'yaml';

import type { ConfigSources } from './parse.ts';
import { parseConfig } from './parse.ts';
import { printConfig } from './printed.ts';
import { CONFIG_FIELDS } from './schema.ts';

const SOURCES: ConfigSources = {
  file: { name: 'f.yaml', text: 'vip: 10.0.0.10\npeers: [10.0.0.1]\nvrrp:\n  vrid: 7\n  preempt: never\n' },
  env: { KUBE_VRRP_VRRP_VRID: '8', KUBE_VRRP_LOG_LEVEL: 'debug' },
  flags: [{ name: 'log-level', value: 'warn' }],
};

function printed(sources: ConfigSources): string {
  const result = printConfig(sources);
  assert.ok(result.ok);
  return result.value;
}

test('every value has the place above it that it comes from', () => {
  const text = printed(SOURCES);
  assert.match(text, /^# f\.yaml line 1\nvip:/m);
  assert.match(text, /^ {2}# env KUBE_VRRP_VRRP_VRID\n {2}vrid: 8$/m);
  assert.match(text, /^ {2}# f\.yaml line 5\n {2}preempt: never$/m);
  assert.match(text, /^ {2}# flag --log-level\n {2}level: warn$/m);
  assert.match(text, /^ {2}# default\n {2}port: 36443$/m);
  for (const { path } of CONFIG_FIELDS) assert.match(text, new RegExp(path.split('.').at(-1) ?? ''), path);
});

test('what is printed is a file of the same configuration', () => {
  const again = parseConfig({ file: { name: 'again', text: printed(SOURCES) }, env: {}, flags: [] });
  assert.deepEqual(again, parseConfig(SOURCES));
});

test('keys that are not set are named, and a password is not shown', () => {
  assert.match(
    printed(SOURCES).replaceAll('\n# ', ' '),
    /Not set: interface \(found from .*\), vrrp\.authPass/,
  );
  const secret = printed({
    ...SOURCES,
    file: null,
    flags: Object.entries({
      vip: '10.0.0.10',
      peers: '10.0.0.1',
      'vrrp-version': '2',
      'vrrp-auth-pass': 'Pa5s',
    }).map(([name, value]) => ({ name, value })),
  });
  assert.doesNotMatch(secret, /Pa5s/);
  assert.deepEqual((parse(secret) as { vrrp: { authPass: string } }).vrrp.authPass, '(not shown)');
});

test('what makes no configuration is a list of problems', () => {
  assert.ok(!printConfig({ file: null, env: {}, flags: [] }).ok);
});
