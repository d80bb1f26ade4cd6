import assert from 'node:assert/strict';
import { mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TestCa } from '../../testing/certificates.ts';
import {
  CredentialFileError,
  type CredentialPaths,
  isReplaced,
  readCaInForce,
  readClientPair,
  readCredentials,
} from './credential-files.ts';

const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-credentials-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'ca.crt');
const HINT = "; health.caFile must be the cluster's CA certificate";

const ca = await TestCa.create();
const expired = await ca.issue({ names: ['DNS:old'], isCa: true, days: -1 });
const [client, otherClient, expiredClient] = await Promise.all([
  ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth' }),
  ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth' }),
  ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth', days: -1 }),
]);
const certPath = join(folder, 'client.crt');
const keyPath = join(folder, 'client.key');
const YEAR_MS = 365 * 24 * 3600 * 1000;

/** The one sentence that refuses the text, without the path and the hint. */
async function refusal(text: string, nowMs?: number): Promise<string> {
  await writeFile(path, text);
  return refusalOf(path, nowMs);
}

function refusalOf(file: string, nowMs?: number): string {
  const message = messageOf(() => readCaInForce(file, nowMs));
  assert.ok(message.startsWith(`${file} `) && message.endsWith(HINT), message);
  return message.slice(file.length + 1, -HINT.length);
}

function messageOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof CredentialFileError);
    return error.message;
  }
  throw new assert.AssertionError({ message: 'the file was accepted' });
}

test('a CA certificate is returned as it is, comments and all', async () => {
  const text = `# cluster CA\n${ca.pair.cert}`;
  await writeFile(path, text);
  assert.equal(readCaInForce(path).pem, text);
});

test('during a rotation an expired CA beside a good one is accepted', async () => {
  await writeFile(path, expired.cert + ca.pair.cert);
  const { pem, periods } = readCaInForce(path);
  assert.equal(pem, expired.cert + ca.pair.cert);
  assert.deepEqual(
    periods.map(({ toMs }) => toMs > Date.now()),
    [false, true],
  );
});

test('a file that is missing, or is a folder', () => {
  assert.equal(refusalOf(join(folder, 'none.crt')), 'does not exist');
  assert.equal(refusalOf(join(path, 'none.crt')), 'does not exist');
  assert.equal(refusalOf(folder), 'is a directory');
});

test('what is no file, or too large for one, is not read', async () => {
  assert.equal(refusalOf('/dev/zero'), 'is not a file');
  await writeFile(path, 'x'.repeat(1024 * 1024 + 1));
  assert.equal(refusalOf(path), 'is larger than 1 MiB');
});

test('a bundle whose last certificate is half-written, which OpenSSL would pass over', async () => {
  const half = ca.pair.cert.slice(0, ca.pair.cert.length / 2);
  assert.equal(await refusal(ca.pair.cert + half), 'ends within a PEM block');
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

async function writePair(cert: string, key: string): Promise<void> {
  await Promise.all([writeFile(certPath, cert), writeFile(keyPath, key)]);
}

test('a client certificate and its key, with the certificates between it and the CA', async () => {
  const cert = client.cert + ca.pair.cert;
  await writePair(cert, client.key);
  const pair = readClientPair(certPath, keyPath);
  assert.deepEqual([pair.cert, pair.key], [cert, client.key]);
  // Only the first is the client's.
  assert.equal(pair.periods.length, 1);
  await writeFile(certPath, client.cert + client.key);
  assert.equal(readClientPair(certPath, certPath).key, client.cert + client.key);
});

test('a client certificate without its key', async () => {
  const demand =
    'health.clientCertFile and health.clientKeyFile must be a certificate and its private key, in PEM';
  const messages: [string, string, string][] = [
    [client.cert, otherClient.key, `${keyPath} is not the private key of ${certPath}; ${demand}`],
    [
      client.cert,
      client.key.slice(0, 80),
      `${keyPath} is not a private key in PEM without a passphrase; ${demand}`,
    ],
    [client.cert.slice(0, 200), client.key, `${certPath} ends within a PEM block; ${demand}`],
    ['', client.key, `${certPath} is not PEM: it has no -----BEGIN CERTIFICATE----- block; ${demand}`],
  ];
  for (const [cert, key, message] of messages) {
    await writePair(cert, key);
    assert.equal(
      messageOf(() => readClientPair(certPath, keyPath)),
      message,
    );
  }
  await rm(keyPath);
  await writeFile(certPath, client.cert);
  assert.equal(
    messageOf(() => readClientPair(certPath, keyPath)),
    `${keyPath} does not exist; ${demand}`,
  );
});

test('the start wants a CA in force, and takes an expired client certificate: 401 shows that a server lives', async () => {
  const paths: CredentialPaths = { caFile: path, clientCertFile: certPath, clientKeyFile: keyPath };
  await writePair(expiredClient.cert, expiredClient.key);
  await writeFile(path, ca.pair.cert);
  assert.equal(readCredentials(paths).client?.cert, expiredClient.cert);
  assert.equal(readCredentials({ ...paths, clientCertFile: null, clientKeyFile: null }).client, null);
  await writeFile(path, expired.cert);
  assert.match(
    messageOf(() => readCredentials(paths)),
    /ca\.crt expired on /,
  );
});

test('a file that was replaced behind its mount is noticed by its lack of links', async (context) => {
  const replaced = join(folder, 'replaced.crt');
  await writeFile(replaced, 'old');
  const file = await open(replaced);
  context.after(() => file.close());
  // As a bind mount does, this path leads to the file that was there when it was made.
  const mounted = `/proc/self/fd/${file.fd}`;
  assert.equal(isReplaced(mounted), false);
  await writeFile(`${replaced}.new`, 'new');
  await rename(`${replaced}.new`, replaced);
  assert.deepEqual([isReplaced(mounted), isReplaced(replaced)], [true, false]);
});
