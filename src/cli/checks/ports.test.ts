import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { test } from 'node:test';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { parseIp } from '../../ip/address.ts';
import { checkListening, judgePeer, tryConnect } from './ports.ts';

const LOOPBACK = parseIp('127.0.0.1')!;

function config(rest: Record<string, string> = {}): Config {
  const given = { vip: '10.0.0.10', peers: '10.0.0.1,10.0.0.2', ...rest };
  const flags = Object.entries(given).map(([name, value]) => ({ name, value }));
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

async function listening(): Promise<{ server: Server; port: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

test('a port that another program has fails, unless kube-vrrp runs here', async () => {
  const { server, port } = await listening();
  try {
    const from = config({ 'proxy-port': String(port), 'admin-address': '' });
    const [stranger] = await checkListening(from, null);
    assert.equal(stranger?.level, 'fail');
    assert.equal(stranger.message, `*:${port} is taken by another program`);
    assert.match(stranger.fix ?? '', new RegExp(`'sport = :${port}'`));
    const [running] = await checkListening(from, 4711);
    assert.deepEqual(
      [running?.level, running?.message],
      ['ok', `*:${port} is taken while kube-vrrp runs here already (pid 4711)`],
    );
  } finally {
    server.close();
  }
});

test('a free port is good, and an admin address that is not of this node is not', async () => {
  const { server, port } = await listening();
  server.close();
  await once(server, 'close');
  const from = config({ 'proxy-port': String(port), 'admin-address': '192.0.2.77:10480' });
  const [proxy, admin] = await checkListening(from, null);
  assert.deepEqual([proxy?.level, proxy?.message], ['ok', `*:${port} is free`]);
  assert.deepEqual([admin?.level, admin?.message], ['fail', '192.0.2.77:10480 is no address of this node']);
});

test('connecting tells a listener from a closed port', async () => {
  const { server, port } = await listening();
  assert.equal(await tryConnect(LOOPBACK, port), 'open');
  server.close();
  await once(server, 'close');
  assert.equal(await tryConnect(LOOPBACK, port), 'refused');
});

test('a peer that is not up yet is a warning that says what to look at', () => {
  const peer = parseIp('10.0.0.2')!;
  assert.equal(judgePeer(peer, config(), 'open', 'open').level, 'ok');
  const early = judgePeer(peer, config(), 'refused', 'refused');
  assert.deepEqual(
    [early.level, early.message],
    ['warn', 'API server port 6443 refuses: nothing listens; proxy port 36443 refuses: nothing listens'],
  );
  assert.match(judgePeer(peer, config(), 'open', 'refused').fix ?? '', /kube-vrrp runs there$/);
  assert.match(
    judgePeer(peer, config(), 'open', 'silent').fix ?? '',
    /no firewall drops TCP 6443 and 36443, and IP protocol 112/,
  );
});
