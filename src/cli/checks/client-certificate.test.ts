import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { TestCa } from '../../testing/certificates.ts';
import { checkClientCertificate } from './client-certificate.ts';

const DAY_MS = 24 * 3600 * 1000;

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-client-certificate-'));
  const ca = await TestCa.create();
  const pair = await ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth', days: 60 });
  const other = await ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth' });
  await writeFile(join(folder, 'client.crt'), pair.cert);
  await writeFile(join(folder, 'client.key'), pair.key);
  await writeFile(join(folder, 'other.key'), other.key);
});

after(async () => {
  await rm(folder, { recursive: true });
});

function config(cert: string | null, key = ''): Config {
  const files =
    cert === null
      ? {}
      : { 'health-client-cert-file': join(folder, cert), 'health-client-key-file': join(folder, key) };
  const flags = Object.entries({ vip: '10.0.0.10', peers: '10.0.0.1', ...files }).map(([name, value]) => ({
    name,
    value,
  }));
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

function results(from: Config, afterDays = 0): string[] {
  return checkClientCertificate(from, Date.now() + afterDays * DAY_MS).map(
    ({ level, message }) => `${level}: ${message.replaceAll(`${folder}/`, '')}`,
  );
}

test('nothing is said where no client certificate is configured', () => {
  assert.deepEqual(results(config(null)), []);
});

test('a pair in force, then soon at its end, then expired', () => {
  const pair = config('client.crt', 'client.key');
  assert.deepEqual(results(pair), ['ok: client.crt and client.key belong together']);
  assert.match(
    results(pair, 45).join(),
    /^warn: health\.clientCertFile client\.crt expires on \d{4}-\d\d-\d\dT[\d:.]+Z$/,
  );
  assert.match(results(pair, 61).join(), /^fail: client\.crt expired on \d{4}-/);
});

test("a missing file, and another certificate's key", () => {
  assert.deepEqual(results(config('absent.crt', 'client.key')), ['fail: absent.crt does not exist']);
  assert.deepEqual(results(config('client.crt', 'other.key')), [
    'fail: other.key is not the private key of client.crt',
  ]);
});
