import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { CONFIG_FIELDS } from '../config/schema.ts';
import { reloadOf } from './reload.ts';

function configOf(text: string): Config {
  const base = 'vip: 10.0.0.100\npeers: [10.0.0.1, 10.0.0.2]\n';
  const parsed = parseConfig({ file: { name: 'test', text: base + text }, env: {}, flags: [] });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

test('the log level is used at once, and what needs a restart is named', () => {
  const before = configOf('');
  const reload = (text: string) => reloadOf(before, { config: configOf(text) });
  assert.deepEqual(reload(''), { logLevel: 'info', text: 'the configuration has not changed' });
  assert.deepEqual(reload('log: {level: debug}'), { logLevel: 'debug', text: 'log.level is debug now' });
  assert.deepEqual(reload('vrrp: {vrid: 7, preempt: never}\nlog: {level: warn}'), {
    logLevel: 'warn',
    text: 'log.level is warn now; vrrp.vrid, vrrp.preempt changed and need a restart',
  });
});

test('a configuration with errors changes nothing', () => {
  assert.deepEqual(reloadOf(configOf('log: {level: warn}'), { problems: 'vip: is no address' }), {
    logLevel: 'warn',
    text: 'the configuration cannot be used, so the one before stays in use: vip: is no address',
  });
});

test('each key is named as in the configuration', () => {
  const before = configOf('');
  const other = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, other(inner)]))
      : 'another value';
  const { text } = reloadOf(before, { config: { ...(other(before) as Config) } });
  const named = (text.split('; ')[1] ?? '').replace(' changed and need a restart', '').split(', ');
  const known = new Set(CONFIG_FIELDS.map(({ path }) => path));
  assert.deepEqual(
    named.filter((key) => !known.has(key)),
    [],
  );
  assert.equal(named.length, known.size - 1, 'all but log.level');
});
