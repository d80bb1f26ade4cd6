import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { TestCa, type LeafOptions } from '../../testing/certificates.ts';
import { checkCertificate } from './certificate.ts';

let folder = '';
let ca: TestCa;
let caFile = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-certificate-'));
  ca = await TestCa.create();
  caFile = join(folder, 'ca.crt');
  await writeFile(caFile, ca.pair.cert);
});

after(async () => {
  await rm(folder, { recursive: true });
});

function config(port: number, file: string): Config {
  const given = {
    vip: '10.0.0.10,fd00::10',
    peers: '10.0.0.1',
    'proxy-backend-port': String(port),
    'health-ca-file': file,
  };
  const flags = Object.entries(given).map(([name, value]) => ({ name, value }));
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

async function resultsBehind(server: Server, file = caFile): Promise<string[]> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    return await results(port, file);
  } finally {
    server.close();
  }
}

async function results(port: number, file: string): Promise<string[]> {
  const list = await checkCertificate(config(port, file), null);
  return list.map(
    ({ level, name, message }) =>
      `${level} ${name}: ${message.replaceAll(folder, '').replaceAll(String(port), 'PORT')}`,
  );
}

async function apiServer(options: LeafOptions): Promise<Server> {
  return createTlsServer(await ca.issue(options));
}

test('a certificate of the CA with every VIP is good', async () => {
  assert.deepEqual(await resultsBehind(await apiServer({ names: ['IP:10.0.0.10', 'IP:fd00::10'] })), [
    "ok CA: /ca.crt vouches for the API server's certificate",
    "ok certificate: the API server's certificate has 10.0.0.10 and fd00::10",
  ]);
});

test('a VIP that is not in the certificate is told with what is', async () => {
  const [, names] = await resultsBehind(await apiServer({ names: ['IP:10.0.0.10', 'DNS:kubernetes'] }));
  assert.equal(
    names,
    "fail certificate: the API server's certificate lacks fd00::10; it has IP Address:10.0.0.10, DNS:kubernetes",
  );
});

test('another CA, and an expired certificate, are told apart', async () => {
  const names = ['IP:10.0.0.10', 'IP:fd00::10'];
  const otherFile = join(folder, 'other.crt');
  await writeFile(otherFile, (await TestCa.create('other')).pair.cert);
  const [other = ''] = await resultsBehind(await apiServer({ names }), otherFile);
  assert.match(other, /^fail CA: \/other\.crt does not vouch for the API server's certificate \([A-Z_]+\)$/);
  const [expired = ''] = await resultsBehind(await apiServer({ names, days: -1 }));
  assert.equal(
    expired,
    "fail CA: /ca.crt does not vouch for the API server's certificate (CERT_HAS_EXPIRED)",
  );
});

test('before kubeadm init there is neither a CA nor a server, which is no failure', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  assert.deepEqual(await results(port, join(folder, 'none.crt')), [
    "warn CA: /none.crt does not exist; health.caFile must be the cluster's CA certificate",
    'ok certificate: nothing listens on 127.0.0.1:PORT, so there is no certificate to look at; it will need 10.0.0.10 and fd00::10 among its names',
  ]);
  assert.match((await results(port, caFile))[0] ?? '', /^ok CA: \/ca\.crt can be read/);
  const garbage = join(folder, 'garbage.crt');
  await writeFile(garbage, 'hello');
  assert.match((await results(port, garbage))[0] ?? '', /^fail CA: \/garbage\.crt is not PEM/);
});

test('what listens without TLS is a warning', async () => {
  const plain = createServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n'));
  const [, certificate = ''] = await resultsBehind(plain);
  assert.match(certificate, /^warn certificate: 127\.0\.0\.1:PORT shows no certificate: /);
});
