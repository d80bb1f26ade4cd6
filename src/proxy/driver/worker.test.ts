/** The proxy thread as the daemon sees it: spawned, commanded by messages, read through its counters. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { monotonicMs } from '../../runtime/clock.ts';
import { echo, startBackend } from '../../testing/proxy-backends.ts';
import { freePort, LIMITS } from '../../testing/proxy.ts';
import { until } from '../../testing/until.ts';
import { createAdmissionMemory } from '../admission.ts';
import { createProxyCounters, ProxyCounters } from '../counters.ts';
import type { ProxyCounts } from '../counters.ts';
import type { ProxyBackend } from '../upstream.ts';
import type { ProxyCommand, ProxyEvent, ProxyWorkerData } from './messages.ts';

/** A backend that says its name first, then echoes. */
async function startNamed(t: TestContext, name: string): Promise<ProxyBackend> {
  const { backend } = await startBackend(t, (socket) => {
    socket.write(name);
    echo(socket);
  });
  return backend({ id: name, state: 'unknown' });
}

type Thread = {
  readonly events: ProxyEvent[];
  readonly send: (command: ProxyCommand, transfer?: MessagePort[]) => void;
  readonly heard: (type: ProxyEvent['type']) => Promise<void>;
  readonly exited: Promise<unknown>;
};

function startThread(t: TestContext, data: ProxyWorkerData): Thread {
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: data });
  const events: ProxyEvent[] = [];
  worker.on('message', (event: ProxyEvent) => events.push(event));
  t.after(() => worker.terminate());
  return {
    events,
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
    send: (command, transfer = []) => worker.postMessage(command, transfer),
    heard: (type) => until(() => events.some((event) => event.type === type), `the event ${type}`),
    exited: once(worker, 'exit').then(([code]: unknown[]) => code),
  };
}

async function dial(t: TestContext, port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** The name of the backend that a new client gets. */
async function nameOfBackend(t: TestContext, port: number): Promise<string> {
  const [name] = await once(await dial(t, port), 'data');
  return String(name);
}

function counting(
  backends: readonly ProxyBackend[],
  limits = LIMITS,
): Pick<ProxyWorkerData, 'backends' | 'counters' | 'limits' | 'admission'> & {
  readonly read: () => ProxyCounts;
} {
  const counters = createProxyCounters();
  const view = new ProxyCounters(counters);
  const admission = createAdmissionMemory(limits, 1);
  return { backends, counters, limits, admission, read: () => view.read(backends.length) };
}

test('listens, passes traffic, follows backends and closeVip, stops and exits', async (t) => {
  const [first, second] = [await startNamed(t, 'first'), await startNamed(t, 'second')];
  const port = await freePort();
  const { read, ...shared } = counting([first, second]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  await thread.heard('listening');
  assert.equal(await nameOfBackend(t, port), 'first');
  thread.send({ type: 'backends', backends: [first, { ...second, state: 'up' }] });
  await until(() => read().clients === 1, 'one client');
  await delay(50); // no event tells that the command was carried out
  assert.equal(await nameOfBackend(t, port), 'second');
  assert.equal(await nameOfBackend(t, port), 'second');
  assert.equal(read().accepted, 3);
  assert.equal(read().backends[1]?.connections, 2);

  const onVip = await dial(t, port, '127.0.0.2');
  await once(onVip, 'data');
  const lost = new Promise((resolve) => void onVip.once('close', resolve));
  thread.send({ type: 'closeVip', request: 7, address: '127.0.0.2', handedOver: false });
  await lost;
  await thread.heard('vipClosed');
  assert.deepEqual(thread.events.at(-1), { type: 'vipClosed', request: 7 });
  assert.equal(read().endings.vip_removed, 1);
  assert.equal(read().clients, 3);

  thread.send({ type: 'stop', graceMs: 20 });
  await thread.heard('stopped');
  assert.equal(await thread.exited, 0);
  assert.equal(read().clients, 0);
  assert.deepEqual(
    read().backends.map((backend) => backend.connections),
    [0, 0],
  );
  await assert.rejects(dial(t, port), { code: 'ECONNREFUSED' });
});

test('takes backends from the services port', async (t) => {
  const [first, second] = [await startNamed(t, 'first'), await startNamed(t, 'second')];
  const port = await freePort();
  const { read, ...shared } = counting([first, second]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  thread.send({ type: 'servicesPort', port: port2 }, [port2]);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
  port1.postMessage({
    type: 'backends',
    backends: [first, { ...second, state: 'up' }],
  } satisfies ProxyCommand);
  await thread.heard('listening');
  // No event tells that the command was carried out.
  await until(async () => (await nameOfBackend(t, port)) === 'second', 'the second backend to be chosen');
  assert.deepEqual(
    thread.events.map((event) => event.type),
    ['listening'],
  );
  thread.send({ type: 'stop', graceMs: 0 });
  assert.equal(await thread.exited, 0);
  assert.equal(read().clients, 0);
});

test('logs on the services port', async (t) => {
  const backend = { ...(await startNamed(t, 'unreachable')), port: await freePort() };
  const port = await freePort();
  const { read: _, ...shared } = counting([backend]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const logged: ProxyEvent[] = [];
  // Reports of connections travel on this port as well.
  port1.on('message', (event: ProxyEvent) => event.type === 'log' && logged.push(event));
  thread.send({ type: 'servicesPort', port: port2 }, [port2]);
  await thread.heard('listening');
  const client = await dial(t, port);
  client.on('error', () => undefined);
  await until(() => logged.length > 0, 'the client that is refused to be logged');
});

test('lists its open connections with what they have carried, in pieces', async (t) => {
  const backend = await startNamed(t, 'hello');
  const port = await freePort();
  const { read, ...shared } = counting([backend]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const pieces: Extract<ProxyEvent, { type: 'connectionList' }>[] = [];
  port1.on('message', (event: ProxyEvent) => event.type === 'connectionList' && pieces.push(event));
  thread.send({ type: 'servicesPort', port: port2 }, [port2]);
  await thread.heard('listening');
  const clients: Socket[] = [];
  for (let count = 0; count < 300; count += 1) {
    const client = await dial(t, port);
    clients.push(client);
    await once(client, 'data');
  }
  clients[0]?.write('ping');
  await until(() => read().backends[0]?.bytesToBackend === 4, 'the first has sent something');
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
  port1.postMessage({ type: 'listConnections', request: 7 } satisfies ProxyCommand);
  await until(() => pieces.at(-1)?.connections.length === 0, 'the last piece');
  const all = pieces.flatMap(({ connections }) => connections);
  assert.ok(pieces.length > 2 && pieces.every(({ request }) => request === 7));
  assert.deepEqual(
    all.map(({ clientPort }) => clientPort),
    clients.map((client) => client.localPort),
  );
  const [first, second] = all;
  assert.equal(first?.bytesToBackend, 4);
  assert.equal(first?.state, 'open');
  assert.deepEqual(
    [second?.backend, second?.bytesToBackend, second?.bytesToClient, second?.state],
    ['hello', 0, 5, 'open'],
  );
});

test('a taken port is told, and the thread exits', async (t) => {
  const taken = createServer().listen(0, '::');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const { read, ...shared } = counting([]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  await thread.heard('listenFailed');
  const [event] = thread.events;
  assert.ok(event?.type === 'listenFailed');
  assert.equal(event.code, 'EADDRINUSE');
  assert.equal(await thread.exited, 0);
  assert.equal(read().accepted, 0);
});

test('a stop that comes before the port is open is not lost', async (t) => {
  const port = await freePort();
  const { read, ...shared } = counting([]);
  const thread = startThread(t, { port, connectTimeoutMs: 500, reusePort: false, ...shared });
  thread.send({ type: 'stop', graceMs: 60_000 });
  await thread.heard('stopped');
  assert.equal(await thread.exited, 0);
  assert.equal(read().accepted, 0);
});

test('two workers share a port and balance over the counters that they share', async (t) => {
  const [first, second] = [await startNamed(t, 'first'), await startNamed(t, 'second')];
  const port = await freePort();
  const { read, ...shared } = counting([first, second]);
  const data = { port, connectTimeoutMs: 500, reusePort: true, ...shared };
  const threads = [startThread(t, data), startThread(t, data)];
  for (const thread of threads) await thread.heard('listening');
  for (let count = 0; count < 20; count += 1) await nameOfBackend(t, port);
  assert.equal(read().accepted, 20);
  assert.deepEqual(
    read().backends.map((backend) => backend.connections),
    [10, 10],
  );
  for (const thread of threads) thread.send({ type: 'stop', graceMs: 0 });
  for (const thread of threads) assert.equal(await thread.exited, 0);
  assert.equal(read().clients, 0);
});

test('two workers count the clients of one source together, and those that come each second', async (t) => {
  const backend = await startNamed(t, 'hello');
  const port = await freePort();
  const limits = { ...LIMITS, maxConnectionsPerSource: 20, acceptsPerSecond: 60 };
  const { read, ...shared } = counting([backend], limits);
  const data = { port, connectTimeoutMs: 500, reusePort: true, ...shared };
  const threads = [startThread(t, data), startThread(t, data)];
  for (const thread of threads) await thread.heard('listening');
  const fromMs = monotonicMs();
  let closed = 0;
  const clients = Array.from({ length: 90 }, () => {
    const client = connect({ port, host: '127.0.0.1' }).resume();
    return client.on('error', () => {}).once('close', () => (closed += 1));
  });
  t.after(() => clients.forEach((client) => client.destroy()));
  await until(() => read().accepted === 90, 'all have been looked at');
  const tookMs = monotonicMs() - fromMs;
  assert.ok(tookMs >= 450, `30 beyond the first 60 take 0.5 s, not ${tookMs} ms`);
  await until(() => closed === 70, 'all but 20 are turned away');
  assert.deepEqual([read().clients, read().overSourceLimit], [20, 70]);
  for (const client of clients) client.destroy();
  await until(() => read().clients === 0, 'all have left');
  assert.equal(await nameOfBackend(t, port), 'hello');
  for (const thread of threads) thread.send({ type: 'stop', graceMs: 0 });
  for (const thread of threads) assert.equal(await thread.exited, 0);
});
