import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { test } from 'node:test';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { parseIp } from '../../ip/address.ts';
import { connect } from 'node:net';
import { checkListening, findPortUsers, judgePeer, judgeTaken, tryConnect } from './ports.ts';

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
    const [running] = await checkListening(from, { pid: 4711, waitingFor: null });
    assert.deepEqual(
      [running?.level, running?.message],
      ['ok', `*:${port} is taken while kube-vrrp runs here already (pid 4711)`],
    );
  } finally {
    server.close();
  }
});

test('a port that a connection of this node has, or another program while kube-vrrp waits, fails', async () => {
  const { server, port } = await listening();
  const client = connect({ host: '127.0.0.1', port });
  await once(client, 'connect');
  try {
    const own = client.localPort ?? 0;
    // What the kernel chose for the client listens nowhere, and still cannot be listened on.
    const [taken] = await checkListening(config({ 'proxy-port': String(own), 'admin-address': '' }), {
      pid: 4711,
      waitingFor: null,
    });
    assert.equal(taken?.level, 'fail');
    // The kernel may give one port to connections of several programs: any of them is one that has it.
    const [, from] =
      /^\*:\d+ is taken by a connection of this node, \S+:(\d+) to \S+:\d+$/.exec(taken.message) ?? [];
    assert.equal(Number(from), own, taken.message);
    assert.match(taken.fix ?? '', /ip_local_reserved_ports/);
  } finally {
    client.destroy();
    server.close();
  }
  const place = { name: 'proxy port', host: '*', port: 36443, key: 'proxy.port' };
  const users = { listening: true, connection: null };
  const waiting = judgeTaken(place, users, { pid: 7, waitingFor: 'the port of the proxy: it is taken' });
  assert.equal(waiting.level, 'fail');
  assert.match(waiting.message, /by another program; kube-vrrp \(pid 7\) waits for the port of the proxy: /);
});

test('connections are read from /proc/net/tcp and tcp6', () => {
  const heading = '  sl  local_address rem_address   st\n';
  const tcp = '   0: 0100000A:8E5B 0200000A:094B 01 00000000:00000000\n';
  const tcp6 =
    '   0: 0000000000000000FFFF00000100000A:8E5B 0000000000000000FFFF00000200000A:D431 01 0\n   1: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0\n';
  const expected = { listening: false, connection: '10.0.0.1:36443 to 10.0.0.2:2379' };
  assert.deepEqual(findPortUsers(36443, [heading + tcp, heading]), expected);
  assert.equal(findPortUsers(36443, [heading + tcp6]).connection, '10.0.0.1:36443 to 10.0.0.2:54321');
  assert.deepEqual(findPortUsers(8080, [heading + tcp6]), { listening: true, connection: null });
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
