import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TestCa } from '../../testing/certificates.ts';
import { CaFileError, readCa } from './ca.ts';

const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-ca-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'ca.crt');
const HINT = "; health.caFile must be the cluster's CA certificate";

const ca = await TestCa.create();
const expired = await ca.issue({ names: ['DNS:old'], isCa: true, days: -1 });
const YEAR_MS = 365 * 24 * 3600 * 1000;

/** The one sentence that refuses the text, without the path and the hint. */
async function refusal(text: string, nowMs?: number): Promise<string> {
  await writeFile(path, text);
  return refusalOf(path, nowMs);
}

function refusalOf(file: string, nowMs?: number): string {
  try {
    readCa(file, nowMs);
  } catch (error) {
    assert.ok(error instanceof CaFileError);
    assert.ok(error.message.startsWith(`${file} `) && error.message.endsWith(HINT), error.message);
    return error.message.slice(file.length + 1, -HINT.length);
  }
  throw new assert.AssertionError({ message: 'the file was accepted' });
}

test('a CA certificate is returned as it is, comments and all', async () => {
  const text = `# cluster CA\n${ca.pair.cert}`;
  await writeFile(path, text);
  assert.equal(readCa(path), text);
});

test('during a rotation an expired CA beside a good one is accepted', async () => {
  await writeFile(path, expired.cert + ca.pair.cert);
  assert.ok(readCa(path).includes(ca.pair.cert));
});

test('a file that is missing, or is a folder', () => {
  assert.equal(refusalOf(join(folder, 'none.crt')), 'does not exist');
  assert.equal(refusalOf(join(path, 'none.crt')), 'does not exist');
  assert.equal(refusalOf(folder), 'is a directory');
});

test('not PEM, no certificate, or a damaged one', async () => {
  assert.equal(await refusal(''), 'is not PEM: it has no -----BEGIN CERTIFICATE----- block');
  assert.equal(await refusal('MIIB'), 'is not PEM: it has no -----BEGIN CERTIFICATE----- block');
  assert.equal(await refusal(ca.pair.key), 'holds no certificate, but: private key');
  const damaged = ca.pair.cert.replace(/\n[^\n]+\n/, '\n');
  assert.equal(await refusal(damaged), 'holds a certificate that is damaged');
});

test('expired, or not valid yet', async () => {
  assert.match(await refusal(expired.cert), /^expired on \d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.match(await refusal(ca.pair.cert, Date.now() + 11 * YEAR_MS), /^expired on /);
  assert.match(
    await refusal(ca.pair.cert, Date.now() - YEAR_MS),
    /^is not valid before .*Z; compare this node's clock$/,
  );
});
