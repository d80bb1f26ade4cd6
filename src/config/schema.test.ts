import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { configJsonSchema, configReference } from './reference.ts';
import { CONFIG_FIELDS, CONFIG_GROUPS } from './schema.ts';

test('every field says what it is for, what it accepts and what happens without it', () => {
  for (const field of CONFIG_FIELDS) {
    assert.ok(field.description.length > 10, field.path);
    assert.match(field.description, /[.]$/, field.path);
    assert.ok(field.accepts.length > 3, field.path);
    assert.ok(field.required || field.defaultText !== '', field.path);
  }
});

test('flags and variables follow from the path, and no two fields share one', () => {
  assert.equal(new Set(CONFIG_FIELDS.map(({ flag }) => flag)).size, CONFIG_FIELDS.length);
  assert.equal(new Set(CONFIG_FIELDS.map(({ env }) => env)).size, CONFIG_FIELDS.length);
  const interval = CONFIG_FIELDS.find(({ path }) => path === 'vrrp.advertisementInterval');
  assert.equal(interval?.flag, 'vrrp-advertisement-interval');
  assert.equal(interval?.env, 'KUBE_VRRP_VRRP_ADVERTISEMENT_INTERVAL');
});

test('the keys are those of the contract', () => {
  const keys = `
    vip interface peers
    vrrp.vrid vrrp.version vrrp.priority vrrp.advertisementInterval vrrp.preempt
    vrrp.preemptDelay vrrp.transport vrrp.senders vrrp.checksum vrrp.authPass
    proxy.port proxy.backendPort proxy.workers proxy.maxConnections proxy.maxConnectionsPerSource
    proxy.allowedSources proxy.acceptRate proxy.maxConnectionAge
    health.path health.interval health.timeout health.rise health.fall health.caFile
    health.clientCertFile health.clientKeyFile
    admin.address admin.socket log.level log.format`;
  assert.equal(CONFIG_FIELDS.map(({ path }) => path).join(' '), keys.trim().split(/\s+/).join(' '));
  assert.deepEqual(CONFIG_GROUPS, ['vrrp', 'proxy', 'health', 'admin', 'log']);
});

test('only vip and peers have to be given', () => {
  assert.deepEqual(
    CONFIG_FIELDS.filter(({ required }) => required).map(({ path }) => path),
    ['vip', 'peers'],
  );
});

type SchemaNode = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
};

test('the JSON Schema has every field with its description, default and range, and refuses other keys', () => {
  const schema = configJsonSchema() as SchemaNode;
  assert.deepEqual(schema.required, ['vip', 'peers']);
  assert.equal(schema.additionalProperties, false);
  for (const field of CONFIG_FIELDS) {
    let node: SchemaNode | undefined = schema;
    for (const key of field.path.split('.')) node = node?.properties?.[key];
    assert.equal(node?.description, field.description, field.path);
  }
  const vrrp = schema.properties?.['vrrp'];
  assert.equal(vrrp?.additionalProperties, false);
  const { vrid, version, advertisementInterval } = vrrp?.properties ?? {};
  assert.deepEqual([vrid?.type, vrid?.minimum, vrid?.maximum, vrid?.default], ['integer', 1, 255, 51]);
  assert.deepEqual([version?.enum, version?.default], [[3, 2], 3]);
  assert.deepEqual([advertisementInterval?.type, advertisementInterval?.default], ['string', '100ms']);
});

test('the reference has a row for each field', () => {
  const rows = configReference()
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  assert.equal(rows.length, CONFIG_FIELDS.length);
  for (const line of rows) assert.equal(line.replaceAll('\\|', '').split('|').length, 7, line);
  assert.ok(
    rows.some((line) => line.startsWith('| `proxy.port` | 36443 | a whole number from 1 to 65535 |')),
  );
});

test('the published reference and JSON Schema are what kube-vrrp config prints', () => {
  const published = (name: string): string =>
    readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  const how = 'run `node src/cli/main.ts config --reference > docs/configuration.md`, and --schema likewise';
  assert.equal(published('configuration.md'), `${configReference().trimEnd()}\n`, how);
  assert.deepEqual(JSON.parse(published('kube-vrrp.schema.json')), configJsonSchema(), how);
});
