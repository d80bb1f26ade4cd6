/**
 * What clients and API servers do to a proxy in the long run, scaled to what every run can bear. The long form, of
 * minutes: `KUBE_VRRP_LONG=1 node --test src/proxy/driver/endurance.test.ts`.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../../runtime/clock.ts';
import { answerFin, echo, startBackend } from '../../testing/proxy-backends.ts';
import {
  ending,
  exchange,
  MIB,
  playClients,
  receiveAll,
  roundTrip,
  sendRandom,
} from '../../testing/proxy-clients.ts';
import { keepManifestCapabilities, withPipePagesUsedUp } from '../../testing/pod-rights.ts';
import { startProxy } from '../../testing/proxy.ts';
import { closeWaits, openFiles, watchDescriptors } from '../../testing/sockets.ts';
import { until } from '../../testing/until.ts';
import type { ProxyBackend } from '../upstream.ts';

const LONG = process.env['KUBE_VRRP_LONG'] === '1';
const WAIT_MS = LONG ? 20 * 60_000 : 30_000;

/** With the two sockets of each that are this process's own, which take most of it. */
const KIB_PER_SILENT_CLIENT = 30;

keepManifestCapabilities();
watchDescriptors();

function residentKib(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss / 1024;
}

test('a large answer and a large upload arrive unchanged at the same time', async (t) => {
  const totalBytes = LONG ? 1024 * MIB : 64 * MIB;
  const backend = await startBackend(t);
  const { client, counts } = await startProxy(t, [backend.backend()]);
  const socket = await client();
  await until(() => backend.sockets.length === 1, 'connected');
  const accepted = backend.sockets[0] ?? assert.fail();
  await exchange(socket, accepted, totalBytes);
  await until(() => counts().clients === 0, 'the relay ends by itself', WAIT_MS);
  assert.equal(closeWaits(backend.port), 0);
});

test('slow readers get everything where the node has no pipe pages left', async (t) => {
  const readers = 3;
  const totalBytes = 30 * MIB;
  await withPipePagesUsedUp(async () => {
    const backend = await startBackend(t);
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const read = async (): Promise<void> => {
      const socket = await client();
      socket.pause();
      await until(() => backend.sockets.length > 0, 'connected');
      const accepted = backend.sockets.pop() ?? assert.fail();
      const sent = sendRandom(accepted, totalBytes);
      await delay(100); // until every buffer on the way is full
      const received = await receiveAll(socket);
      socket.end();
      assert.deepEqual(received, { hash: await sent, bytes: totalBytes });
    };
    for (let reader = 0; reader < readers; reader += 1) await read();
    await until(() => counts().clients === 0, 'all have left', WAIT_MS);
  });
});

test('clients that connect and say nothing cost little, and others are served beside them', async (t) => {
  const count = LONG ? 4_000 : 500;
  const backend = await startBackend(t, echo);
  const { client, counts } = await startProxy(t, [backend.backend()]);
  await roundTrip(await client());
  const memoryKib = residentKib();
  const silent = await Promise.all(Array.from({ length: count }, () => client()));
  await until(() => backend.sockets.length === count + 1, 'all are connected to a backend', WAIT_MS);
  const grownKib = residentKib() - memoryKib;
  assert.ok(grownKib < KIB_PER_SILENT_CLIENT * count, `${Math.round(grownKib)} KiB for ${count} clients`);
  await roundTrip(await client());
  assert.equal(counts().clients, count + 2);
  for (const socket of silent) socket.destroy();
  await until(() => counts().clients === 2, 'the silent ones have left', WAIT_MS);
});

test('all clients reconnect at once, and all are served', async (t) => {
  const count = LONG ? 4_000 : 1_000;
  const backend = await startBackend(t, echo);
  const { client, counts, proxy } = await startProxy(t, [backend.backend()]);
  const before = await Promise.all(Array.from({ length: count }, () => client()));
  const ends = before.map((socket) => ending(socket));
  await until(() => counts().backends[0]?.connectionsTotal === count, 'all are connected', WAIT_MS);
  // Or those whom it has not accepted yet would fill the backend's queue, beside those who come again.
  await until(() => backend.sockets.length === count, 'the backend has accepted all', WAIT_MS);
  assert.equal(proxy.closeVip('127.0.0.1'), count);
  assert.ok((await Promise.all(ends)).every((end) => end === 'ECONNRESET'));
  const again = await Promise.all(Array.from({ length: count }, () => client()));
  await Promise.all(again.map((socket) => roundTrip(socket)));
  assert.equal(counts().endings.no_backend, 0);
  assert.equal(counts().clients, count);
});

test('many short connections leave neither memory nor descriptors behind', async (t) => {
  const rounds = LONG ? 1_000_000 : 3_000;
  const backend = await startBackend(t, answerFin('answer'));
  const { port, counts, proxy } = await startProxy(t, [backend.backend()]);
  let memoryKib = 0;
  let files = 0;
  await playClients(rounds, 10, async (left) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.end('question');
    const [answer] = await once(socket, 'data');
    assert.equal(String(answer), 'answer');
    await ending(socket);
    proxy.connections.take(); // as the daemon does
    backend.sockets.length = 0;
    if (left === Math.floor(rounds / 2)) {
      memoryKib = residentKib();
      files = openFiles();
    }
  });
  await until(() => counts().clients === 0, 'all relays ended', WAIT_MS);
  const grownKib = residentKib() - memoryKib;
  assert.ok(grownKib < 32 * 1024, `${Math.round(grownKib)} KiB more than after the first half`);
  assert.ok(openFiles() <= files, 'no descriptor more than in the middle');
  assert.equal(counts().backends[0]?.connectionsTotal, rounds);
  assert.equal(closeWaits(port), 0);
  assert.equal(closeWaits(backend.port), 0);
});

test('a quiet watch outlives every timeout of the proxy', async (t) => {
  const backend = await startBackend(t, echo);
  const times = { keepAliveIdleMs: 1_000, userTimeoutMs: 1_000 };
  const { client, counts } = await startProxy(t, [backend.backend()], { connectTimeoutMs: 500, times });
  const watch = await client();
  await roundTrip(watch);
  await delay(LONG ? 10 * 60_000 : 4_000); // the time itself is what is tested
  assert.equal(counts().clients, 1);
  await roundTrip(watch);
});

test('an upgraded stream carries both ways, and ends as its ends do', async (t) => {
  const server = createHttpServer();
  server.on('upgrade', (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
    assert.equal(request.headers.upgrade, 'websocket');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const backend: ProxyBackend = { id: 'exec', host: '127.0.0.1', port, local: true, state: 'up' };
  const { client, counts } = await startProxy(t, [backend]);
  const socket = await client();
  socket.write('GET /exec HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  const [head] = await once(socket, 'data');
  assert.match(String(head), /^HTTP\/1\.1 101 /);
  for (let count = 0; count < 50; count += 1) await roundTrip(socket, `line ${count}`);
  const [sent, received] = await Promise.all([sendRandom(socket, 4 * MIB), receiveAll(socket)]);
  assert.deepEqual(received, { hash: sent, bytes: 4 * MIB });
  await until(() => counts().clients === 0, 'the stream has ended');
});

test('backends that flap under load lose their own clients only, and nobody else waits', async (t) => {
  const backends = await Promise.all([startBackend(t, echo), startBackend(t, echo), startBackend(t, echo)]);
  const { client, counts, proxy } = await startProxy(
    t,
    backends.map((each) => each.backend()),
  );
  const endMs = monotonicMs() + (LONG ? 60_000 : 2_000);
  let served = 0;
  let lost = 0;
  const run = async (): Promise<void> => {
    while (monotonicMs() < endMs) {
      const socket = await client().catch(() => null);
      if (socket === null) {
        lost += 1; // its backend went down before it had looked
        continue;
      }
      const gone = new Promise((resolve) => void socket.once('close', () => resolve('lost')));
      for (let count = 0; count < 10; count += 1) {
        const turn = roundTrip(socket).then(
          () => 'served',
          () => 'lost',
        );
        if ((await Promise.race([turn, gone])) === 'lost') {
          lost += 1;
          break;
        }
        served += 1;
      }
      socket.destroy();
    }
  };
  const flapping = (async () => {
    for (let count = 0; monotonicMs() < endMs; count += 1) {
      const down = count % (backends.length + 1); // once in a while none is
      proxy.setBackends(
        backends.map((each, index) => each.backend({ state: index === down ? 'down' : 'up' })),
      );
      await delay(15);
    }
  })();
  await Promise.all([flapping, ...Array.from({ length: 10 }, () => run())]);
  assert.ok(served > 100, `${served} served`);
  assert.equal(counts().endings.no_backend, 0);
  assert.ok(counts().endings.backend_down >= lost, `${lost} lost, ${counts().endings.backend_down} closed`);
  await until(() => counts().clients === 0, 'all have left', WAIT_MS);
});

test('all backends down and back: established connections stay, new ones are refused at once and then served', async (t) => {
  const [first, second] = [await startBackend(t, echo), await startBackend(t, echo)];
  const down = { state: 'down' } as const;
  const { client, outcome, proxy, counts } = await startProxy(t, [first.backend(), second.backend()]);
  const watch = await client();
  await roundTrip(watch);
  await Promise.all([first.refuse(), second.refuse()]);
  proxy.setBackends([first.backend(down), second.backend(down)]);
  await roundTrip(watch);
  assert.equal(await outcome(), 'ECONNRESET');
  assert.equal(counts().endings.no_backend, 1);
  await roundTrip(watch);
  await first.accept();
  await roundTrip(await client());
  proxy.setBackends([first.backend(), second.backend(down)]);
  await roundTrip(await client());
  await roundTrip(watch);
});
