/** Who is turned away or has to wait, and why, on loopback. Needs no privileges. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseIp } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { echo, listOrEcho, startBackend } from '../../testing/proxy-backends.ts';
import { ending, MIB, receiveAll, roundTrip } from '../../testing/proxy-clients.ts';
import { LIMITS, startProxy } from '../../testing/proxy.ts';
import { closeWaits, watchDescriptors } from '../../testing/sockets.ts';
import { until, untilStill } from '../../testing/until.ts';

watchDescriptors();

describe('limits', () => {
  test('more clients than the limit are reset and counted', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, outcome, counts } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, maxConnections: 2 },
    });
    const first = await client();
    await roundTrip(first);
    await roundTrip(await client());
    assert.equal(await outcome(), 'ECONNRESET');
    assert.equal(counts().overLimit, 1);
    first.end();
    await until(() => counts().clients === 1, 'a place is free');
    await roundTrip(await client());
  });

  test('a source beyond its limit is reset and counted, and others are served', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, outcome, counts, logs } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, maxConnectionsPerSource: 2 },
    });
    const first = await client();
    await roundTrip(first);
    await roundTrip(await client());
    assert.equal(await outcome(), 'ECONNRESET');
    assert.equal(counts().overSourceLimit, 1);
    assert.match(logs[0]?.message ?? '', /127\.0\.0\.1 has 2 connections/);
    await roundTrip(await client('::1'));
    first.end();
    await until(() => counts().clients === 2, 'a place is free');
    await roundTrip(await client());
  });

  test('a source that is in no allowed network is reset and counted', async (t) => {
    const backend = await startBackend(t, echo);
    const loopback = { address: parseIp('127.0.0.0') ?? assert.fail(), prefixLength: 8 };
    const { client, counts, port } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, allowedSources: [loopback] },
    });
    await roundTrip(await client());
    assert.equal(await ending(connect({ host: '::1', port })), 'ECONNRESET');
    assert.equal(counts().forbidden, 1);
    assert.equal(backend.sockets.length, 1);
  });

  test('clients that come faster than they may wait, and all are served', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, counts, logs } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, acceptsPerSecond: 50 },
    });
    const fromMs = monotonicMs();
    const clients = await Promise.all(Array.from({ length: 80 }, () => client()));
    await Promise.all(clients.map((socket) => roundTrip(socket)));
    assert.ok(monotonicMs() - fromMs >= 550, '30 beyond the first 50 take 0.6 s');
    assert.ok(counts().rateLimited > 0);
    assert.equal(counts().accepted, 80);
    assert.deepEqual(
      logs.map(({ message }) => message),
      ['clients wait: 50 a second have come, which is the limit (proxy.acceptRate)'],
    );
  });

  test('clients that wait for their turn are reset with the others when the VIP leaves', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, counts, proxy } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, acceptsPerSecond: 10 },
    });
    const clients = await Promise.all(Array.from({ length: 40 }, () => client()));
    const ends = clients.map((socket) => ending(socket));
    await until(() => counts().rateLimited > 0, 'some wait');
    proxy.closeVip('127.0.0.1');
    assert.deepEqual(new Set(await Promise.all(ends)), new Set(['ECONNRESET']));
    assert.equal(counts().clients, 0);
  });

  test('a connection beyond its age is closed when it is idle, and not before', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, counts } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, maxConnectionAgeMs: 500 },
    });
    const idle = await client();
    const busy = await client();
    await Promise.all([roundTrip(idle), roundTrip(busy)]);
    const end = ending(idle);
    while (counts().endings.age === 0) {
      await roundTrip(busy);
      await delay(20);
    }
    assert.equal(await end, 'fin');
    assert.equal(counts().endings.age, 1);
    await roundTrip(busy);
  });

  test('a connection beyond its age whose reader pauses is not idle: it is closed when the answer is through', async (t) => {
    const totalBytes = 48 * MIB;
    const backend = await startBackend(t, listOrEcho(totalBytes));
    const { client, counts } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, maxConnectionAgeMs: 300 },
    });
    const slow = await client();
    slow.pause();
    slow.write('list');
    await untilStill(() => counts().backends[0]?.bytesToClient ?? 0, 'the way to the client');
    const idle = await client();
    await roundTrip(idle);
    assert.equal(await ending(idle), 'fin'); // the younger one: by now the older one has been looked at, too
    assert.equal(counts().endings.age, 1);
    const received = await receiveAll(slow);
    assert.equal(received.bytes, totalBytes);
    assert.equal(counts().endings.age, 2);
  });

  const onlyOther = { address: parseIp('192.0.2.0') ?? assert.fail(), prefixLength: 24 };
  const loopback6 = { address: parseIp('::1') ?? assert.fail(), prefixLength: 128 };
  for (const { name, limits, total, says } of [
    { name: 'all clients', limits: { maxConnections: 3 }, total: 'overLimit', says: /^client refused: 3 / },
    {
      name: 'one source',
      limits: { maxConnectionsPerSource: 2 },
      total: 'overSourceLimit',
      says: /^client refused: .* has 2 /,
    },
    {
      name: 'the sources',
      limits: { allowedSources: [loopback6, onlyOther] },
      total: 'forbidden',
      says: /^client refused: .* no network of proxy.allowedSources$/,
    },
  ] as const) {
    test(`a flood beyond the limit on ${name} is counted one by one, logged in one line, and costs nobody else`, async (t) => {
      const backend = await startBackend(t, echo);
      const { client, outcome, counts, logs, port } = await startProxy(t, [backend.backend()], {
        limits: { ...LIMITS, ...limits },
      });
      const served = await client('::1');
      await roundTrip(served);
      const admitted = total === 'forbidden' ? [] : [await client(), await client()];
      for (const socket of admitted) await roundTrip(socket);
      for (let round = 0; round < 10; round += 1) {
        const flood = Promise.all(Array.from({ length: 10 }, () => outcome()));
        await roundTrip(served);
        assert.ok((await flood).every((end) => end === 'ECONNRESET'));
      }
      assert.equal(counts()[total], 100);
      assert.equal(counts().clients, 1 + admitted.length);
      assert.equal(backend.sockets.length, 1 + admitted.length);
      assert.deepEqual(
        logs.map(({ level }) => level),
        ['warn'],
      );
      assert.match(logs[0]?.message ?? '', says);
      for (const socket of admitted) await roundTrip(socket);
      assert.equal(closeWaits(port), 0);
    });
  }
});
