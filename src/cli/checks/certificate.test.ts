import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer as createHttpsServer } from 'node:https';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { parseIp } from '../../ip/address.ts';
import { TestCa, type LeafOptions } from '../../testing/certificates.ts';
import { checkApiServers } from './certificate.ts';

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
    return await resultsAt(port, file);
  } finally {
    server.close();
  }
}

const NOT_OWN = (): boolean => false;

/** Of a node that is not in peers, whose one peer is out of reach. */
async function resultsAt(port: number, file: string): Promise<string[]> {
  const lines = await resultsOf({ ...config(port, file), peers: [parseIp('127.0.0.9')!] }, NOT_OWN);
  return lines.filter((line) => !line.includes('127.0.0.9'));
}

async function resultsOf(from: Config, isOwn: (address: { text: string }) => boolean): Promise<string[]> {
  const { backendPort: port } = from.proxy;
  const list = await checkApiServers(from, isOwn);
  return list.map(
    ({ level, name, message }) =>
      `${level} ${name}: ${message.replaceAll(folder, '').replaceAll(String(port), 'PORT')}`,
  );
}

async function apiServer(options: LeafOptions): Promise<Server> {
  return createHttpsServer(await ca.issue(options), (_request, response) => response.end('ok'));
}

test('a certificate of the CA with every VIP is good', async () => {
  assert.deepEqual(await resultsBehind(await apiServer({ names: ['IP:10.0.0.10', 'IP:fd00::10'] })), [
    "ok CA: /ca.crt vouches for the API server's certificate",
    'ok certificate: the certificate of 127.0.0.1:PORT names 10.0.0.10 and fd00::10',
  ]);
});

test('a VIP that is not in the certificate is told with what is', async () => {
  const [, names] = await resultsBehind(await apiServer({ names: ['IP:10.0.0.10', 'DNS:kubernetes'] }));
  assert.equal(
    names,
    'fail certificate: the certificate of 127.0.0.1:PORT lacks fd00::10; it has IP Address:10.0.0.10, DNS:kubernetes',
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

/** A port of 127.0.0.1 that nothing listens on. */
async function closedPort(): Promise<number> {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  return port;
}

test('before kubeadm init there is neither a CA nor a server, which is no failure', async () => {
  const port = await closedPort();
  assert.deepEqual(await resultsAt(port, join(folder, 'none.crt')), [
    "warn CA: /none.crt does not exist; health.caFile must be the cluster's CA certificate",
    'skip certificate: nothing listens on 127.0.0.1:PORT, so neither certificate nor health was looked at; its certificate will need 10.0.0.10 and fd00::10 among its names',
  ]);
  assert.match((await resultsAt(port, caFile))[0] ?? '', /^ok CA: \/ca\.crt can be read/);
  const garbage = join(folder, 'garbage.crt');
  await writeFile(garbage, 'hello');
  assert.match((await resultsAt(port, garbage))[0] ?? '', /^fail CA: \/garbage\.crt is not PEM/);
});

test('what listens without TLS is a warning', async () => {
  const plain = createServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n'));
  const [, certificate = ''] = await resultsBehind(plain);
  assert.match(certificate, /^warn certificate: 127\.0\.0\.1:PORT shows no certificate: /);
});

/** API servers on the loopback addresses, all on one port; the first one is that of this node. */
async function resultsOfPeers(
  servers: Readonly<Record<string, Server>>,
  more: readonly string[] = [],
): Promise<string[]> {
  let port = 0;
  try {
    for (const [host, server] of Object.entries(servers)) {
      server.listen(port, host);
      await once(server, 'listening');
      port = (server.address() as AddressInfo).port;
    }
    const [own] = Object.keys(servers);
    const peers = [...Object.keys(servers), ...more].map((text) => parseIp(text)!);
    return await resultsOf({ ...config(port, caFile), peers }, ({ text }) => text === own);
  } finally {
    for (const server of Object.values(servers)) server.close();
  }
}

const VIPS = ['IP:10.0.0.10', 'IP:fd00::10'];

test('a peer whose certificate names another address than peers has fails, as the daemon will find it', async () => {
  const results = await resultsOfPeers({
    '127.0.0.1': await apiServer({ names: [...VIPS, 'IP:127.0.0.1'] }),
    '127.0.0.2': await apiServer({ names: [...VIPS, 'IP:192.168.1.2'] }),
  });
  assert.deepEqual(results, [
    "ok CA: /ca.crt vouches for the API server's certificate",
    'ok certificate: the certificate of 127.0.0.1:PORT names 10.0.0.10 and fd00::10',
    'ok health 127.0.0.1: 127.0.0.1:PORT/healthz passes the health check: 200',
    'ok certificate 127.0.0.2: the certificate of 127.0.0.2:PORT names 10.0.0.10 and fd00::10',
    'fail health 127.0.0.2: 127.0.0.2:PORT/healthz fails the health check: certificate does not name 127.0.0.2; it names IP Address:10.0.0.10, IP Address:FD00:0:0:0:0:0:0:10, IP Address:192.168.1.2',
  ]);
});

test("this node's own certificate is verified by its address of peers, too", async () => {
  const results = await resultsOfPeers({ '127.0.0.1': await apiServer({ names: VIPS }) });
  assert.match(results[2] ?? '', /^fail health 127\.0\.0\.1: .* certificate does not name 127\.0\.0\.1;/);
});

test('a peer of another CA, one whose certificate has expired, one that lacks the VIP, and one that is not there', async () => {
  const other = await TestCa.create('other');
  const names = [...VIPS, 'IP:127.0.0.1', 'IP:127.0.0.2', 'IP:127.0.0.3'];
  const results = await resultsOfPeers(
    {
      '127.0.0.1': await apiServer({ names }),
      '127.0.0.2': createHttpsServer(await other.issue({ names })),
      '127.0.0.3': await apiServer({ names, days: -1 }),
      '127.0.0.4': await apiServer({ names: ['IP:10.0.0.10', 'IP:127.0.0.4'] }),
    },
    ['127.0.0.5'],
  );
  const of = (address: string): string[] => results.filter((line) => line.includes(` ${address}: `));
  assert.match(of('127.0.0.2')[1] ?? '', /^fail health .*: certificate is not signed by the CA in caFile$/);
  assert.match(
    of('127.0.0.3')[1] ?? '',
    /^fail health .*: certificate, or the CA that signed it, has expired$/,
  );
  assert.match(of('127.0.0.4')[0] ?? '', /^fail certificate .* lacks fd00::10;/);
  assert.match(of('127.0.0.4')[1] ?? '', /^ok health/);
  assert.deepEqual(
    of('127.0.0.5').map((line) => line.split(' ')[0]),
    ['skip'],
  );
});

test('while no API server runs here, the CA is held against that of a peer', async () => {
  const names = [...VIPS, 'IP:127.0.0.2'];
  const server = createHttpsServer(await (await TestCa.create('other')).issue({ names }));
  const port = await closedPort();
  server.listen(port, '127.0.0.2');
  await once(server, 'listening');
  const peers = ['127.0.0.1', '127.0.0.2'].map((text) => parseIp(text)!);
  const lines = await resultsOf({ ...config(port, caFile), peers }, ({ text }) => text === '127.0.0.1');
  server.close();
  assert.match(lines[0] ?? '', /^fail CA: \/ca\.crt does not vouch for/);
  assert.match(lines[1] ?? '', /^skip certificate: nothing listens on 127\.0\.0\.1:PORT/);
});

test('what answers, but not well, is a warning with what it says', async () => {
  const pair = await ca.issue({ names: [...VIPS, 'IP:127.0.0.1'] });
  const answering = (status: Readonly<Record<string, number>>) =>
    createHttpsServer(pair, ({ url = '' }, response) => response.writeHead(status[url] ?? 200).end());
  const health = async (status: Readonly<Record<string, number>>): Promise<string> =>
    (await resultsOfPeers({ '127.0.0.1': answering(status) }))[2] ?? '';
  assert.match(await health({ '/healthz': 500 }), /^warn .* fails the health check: status 500$/);
  assert.match(await health({ '/healthz': 401 }), /^warn .* does not allow the health check: status 401$/);
  assert.match(await health({ '/readyz': 500 }), /^warn .* is healthy but not ready: 200, but \/readyz 500$/);
});
