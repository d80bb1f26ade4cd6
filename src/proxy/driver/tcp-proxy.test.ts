/** The data plane on loopback: what goes in comes out, and nothing stays behind. Needs no privileges. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseIp } from '../../ip/address.ts';
import { monotonicMs } from '../../net/clock.ts';
import {
  answerFin,
  echo,
  listOrEcho,
  startBackend,
  startSilentBackend,
} from '../../testing/proxy-backends.ts';
import {
  ending,
  exchange,
  MIB,
  playClients,
  receiveAll,
  roundTrip,
  stream,
} from '../../testing/proxy-clients.ts';
import { freePort, LIMITS, startProxy } from '../../testing/proxy.ts';
import { closeWaits, establishedTo, openFiles, watchDescriptors } from '../../testing/sockets.ts';
import { DEADLINE_MS, until, untilStill } from '../../testing/until.ts';
import { ListenError } from './listener.ts';
import { socketAddress, startConnecting } from './tcp-socket.ts';

watchDescriptors();

test('a client reaches a backend', async (t) => {
  const backend = await startBackend(t, echo);
  const { client } = await startProxy(t, [backend.backend()]);
  await roundTrip(await client());
});

describe('bytes', () => {
  for (const { pipes, maxPipes } of [
    { pipes: 'pipes enough', maxPipes: 128 },
    { pipes: 'one pipe', maxPipes: 1 },
    { pipes: 'no pipe', maxPipes: 0 },
  ]) {
    test(`arrive unchanged both ways at once, in random chunks, with FIN after the last one, with ${pipes}`, async (t) => {
      const totalBytes = 32 * MIB;
      const backend = await startBackend(t);
      const { client, counts } = await startProxy(t, [backend.backend()], { maxPipes });
      const socket = await client();
      await until(() => backend.sockets.length === 1, 'connected');
      const accepted = backend.sockets[0]!;
      await exchange(socket, accepted, totalBytes);
      await until(() => counts().clients === 0, 'the relay ends by itself');
      assert.equal(counts().backends[0]?.bytesToBackend, totalBytes);
      assert.equal(counts().backends[0]?.bytesToClient, totalBytes);
    });
  }

  test('many small messages to a slow receiver arrive unchanged', async (t) => {
    const totalBytes = 24 * MIB;
    const backend = await startBackend(t, (socket) => void socket.pause());
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await until(() => backend.sockets.length === 1, 'connected');
    const accepted = backend.sockets[0] ?? assert.fail();
    const hash = createHash('sha256');
    let sentBytes = 0;
    const sending = (async () => {
      while (sentBytes < totalBytes) {
        const message = randomBytes(39_999);
        hash.update(message);
        sentBytes += message.length;
        if (!socket.write(message)) await once(socket, 'drain');
        await new Promise((resolve) => void setImmediate(resolve)); // so that the proxy meets each message alone
      }
      socket.end();
    })();
    await untilStill(() => counts().backends[0]?.bytesToBackend ?? 0, 'the way to the receiver');
    assert.ok(sentBytes < totalBytes, 'the receiver holds the sender back');
    const received = await receiveAll(accepted);
    await sending;
    assert.deepEqual(received, { hash: hash.digest('hex'), bytes: sentBytes });
  });

  test('a backend that speaks first is heard before the client has sent anything', async (t) => {
    const backend = await startBackend(t, (socket) => void socket.write('hello'));
    const { client } = await startProxy(t, [backend.backend()]);
    const [greeting] = await once(await client(), 'data');
    assert.equal(String(greeting), 'hello');
  });

  test('byte counts reach the counters while the connection is open', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, counts } = await startProxy(t, [backend.backend()]);
    await roundTrip(await client(), 'twelve bytes');
    await until(() => counts().backends[0]?.bytesToClient === 12, 'bytes to the client are counted');
    assert.equal(counts().backends[0]?.bytesToBackend, 12);
  });
});

describe('half-close', () => {
  test("the client's FIN reaches the backend, which can still answer", async (t) => {
    const backend = await startBackend(t, answerFin('the answer after your FIN'));
    const { client } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    socket.end('the question');
    const [answer] = await once(socket, 'data');
    assert.equal(String(answer), 'the answer after your FIN');
    assert.equal(await ending(socket), 'fin');
  });

  test("the backend's FIN reaches the client, which can still send", async (t) => {
    let heard = '';
    const backend = await startBackend(t, (socket) => {
      socket.on('data', (chunk) => (heard += String(chunk)));
      socket.end('goodbye');
    });
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    assert.equal(await ending(socket), 'fin');
    await delay(50); // an implementation that closes both sides at one FIN needs a moment to do so
    socket.write('after your FIN');
    await until(() => heard === 'after your FIN', 'the backend hears the client');
    assert.equal(counts().clients, 1);
    socket.end();
    await until(() => counts().clients === 0, 'both FINs end the relay');
  });

  test('a slow client gets all that was sent before the FIN, when both FINs have long been exchanged', async (t) => {
    const totalBytes = 24 * MIB;
    let sentBytes = 0;
    const backend = await startBackend(t, (socket) => {
      socket.resume();
      socket.on('end', () => socket.end(Buffer.alloc(totalBytes), () => (sentBytes = totalBytes)));
    });
    const { client } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    socket.pause();
    socket.end();
    await until(() => backend.sockets.length === 1, 'connected');
    await delay(500); // several checks of the sockets that are not read
    let receivedBytes = 0;
    socket.on('data', (chunk) => (receivedBytes += chunk.length));
    assert.equal(await ending(socket), 'fin');
    assert.equal(sentBytes, totalBytes);
    assert.equal(receivedBytes, totalBytes);
  });

  test('a half-closed client that then resets is noticed, though nobody reads from it any more', async (t) => {
    const endings: string[] = [];
    const backend = await startBackend(t, (socket) => {
      socket.resume();
      socket.on('end', () => endings.push('fin'));
      socket.on('error', (error: NodeJS.ErrnoException) => endings.push(error.code ?? ''));
    });
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    socket.end();
    await until(() => endings.includes('fin'), 'the FIN is passed');
    socket.resetAndDestroy();
    await until(() => counts().clients === 0, 'the dead client is noticed');
  });
});

describe('RST', () => {
  test('from the client reaches the backend as RST', async (t) => {
    const backend = await startBackend(t);
    const { client } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await until(() => backend.sockets.length === 1, 'connected');
    const end = ending(backend.sockets[0]!);
    socket.resetAndDestroy();
    assert.equal(await end, 'ECONNRESET');
  });

  test('from the backend reaches the client as RST', async (t) => {
    const backend = await startBackend(t);
    const { client } = await startProxy(t, [backend.backend()]);
    const end = ending(await client());
    await until(() => backend.sockets.length === 1, 'connected');
    backend.sockets[0]?.resetAndDestroy();
    assert.equal(await end, 'ECONNRESET');
  });

  test('from a backend that is not being read, because its client is slow, is noticed', async (t) => {
    const backend = await startBackend(t, (socket) => void stream(socket, 256 * MIB));
    const { client, counts } = await startProxy(t, [backend.backend()]);
    await client(); // never reads
    await untilStill(() => counts().backends[0]?.bytesToClient ?? 0, 'the relay');
    backend.sockets[0]?.resetAndDestroy();
    await until(() => counts().clients === 0, 'the dead backend is noticed');
  });

  test('of a client while its backend is being connected leaves nothing behind', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t);
    const { client, counts } = await startProxy(t, [silent, backend.backend()], { connectTimeoutMs: 200 });
    const socket = await client();
    await until(() => counts().backends[0]?.connections === 1, 'connecting');
    socket.resetAndDestroy();
    await until(() => counts().clients === 0, 'the relay is gone');
    await until(
      () =>
        backend.sockets.every((accepted) => accepted.destroyed || (accepted.resume() && accepted.destroyed)),
      'the backend has no connection left',
    );
  });

  test('at the very moment of a FIN leaks no descriptor', async (t) => {
    const backend = await startBackend(t, echo);
    const { proxy, client, counts } = await startProxy(t, [backend.backend()]);
    let previous = 0;
    for (let round = 0; round < 20; round += 1) {
      if (round === 1) previous = openFiles(); // the first one leaves a pipe in the pool
      const socket = await client();
      await roundTrip(socket);
      const accepted = backend.sockets.at(-1);
      // the FIN is read and passed on in the same turn of the loop in which the VIP goes
      accepted?.prependOnceListener('end', () => proxy.vipRemoved('127.0.0.1'));
      socket.end();
      await until(() => counts().clients === 0, 'closed');
      socket.destroy();
      accepted?.destroy();
    }
    await until(
      () => openFiles() <= previous,
      () => `descriptors: ${openFiles()} now, ${previous} before`,
    );
  });
});

describe('choice of backend', () => {
  test('fewest connections, the local one first on ties', async (t) => {
    const peer = await startBackend(t);
    const local = await startBackend(t);
    const { client } = await startProxy(t, [peer.backend(), local.backend({ local: true })]);
    await client();
    await until(() => local.sockets.length === 1, 'the first goes to the local one');
    await client();
    await until(() => peer.sockets.length === 1, 'the second to the peer');
    await client();
    await until(() => local.sockets.length === 2, 'the third to the local one');
    local.sockets[0]?.destroy();
    local.sockets[1]?.destroy();
    assert.equal(peer.sockets.length, 1);
  });

  test('one that refuses costs a counter, and the client gets the next one', async (t) => {
    const refusing = await startBackend(t);
    await refusing.refuse();
    const backend = await startBackend(t, echo);
    const { client, counts, logs } = await startProxy(t, [
      refusing.backend({ local: true }),
      backend.backend(),
    ]);
    const socket = await client();
    await roundTrip(socket);
    assert.equal(counts().backends[0]?.connectFailures, 1);
    assert.equal(counts().backends[0]?.connections, 0);
    assert.equal(counts().backends[1]?.connections, 1);
    assert.equal(counts().backends[1]?.connectionsTotal, 1);
    assert.match(logs[0]?.message ?? '', /^cannot connect to backend .*: ECONNREFUSED$/);
  });

  test('one that drops SYNs costs the connect timeout, and what the client sent meanwhile is not lost', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, counts } = await startProxy(t, [silent, backend.backend()], { connectTimeoutMs: 150 });
    await roundTrip(await client(), 'sent while the first backend is silent');
    assert.equal(counts().backends[0]?.connectFailures, 1);
    assert.equal(counts().backends[0]?.connections, 0);
  });

  test('one that refused is passed over from then on, until a good check proves it', async (t) => {
    const refusing = await startBackend(t);
    await refusing.refuse();
    const backend = await startBackend(t, echo);
    const { client, counts, view } = await startProxy(t, [
      refusing.backend({ local: true }),
      backend.backend(),
    ]);
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(counts().backends[0]?.connectFailures, 1);
    view.prove(0, monotonicMs());
    await roundTrip(await client());
    assert.equal(counts().backends[0]?.connectFailures, 2);
  });

  test('one that does not answer is passed over before its first client has given up', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, counts, view } = await startProxy(t, [silent, backend.backend()], {
      connectTimeoutMs: 60_000,
    });
    await client();
    await until(() => view.isSuspect(0), 'the silent one is suspect');
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(counts().backends[0]?.connections, 1);
    assert.equal(counts().backends[0]?.connectFailures, 0);
  });

  test('with nothing reachable the client is reset at once and counted', async (t) => {
    const refusing = await Promise.all([startBackend(t), startBackend(t)]);
    await Promise.all(refusing.map((backend) => backend.refuse()));
    const { outcome, counts, logs } = await startProxy(
      t,
      refusing.map((backend) => backend.backend()),
    );
    assert.equal(await outcome(), 'ECONNRESET');
    assert.equal(counts().refused, 1);
    assert.deepEqual(
      counts().backends.map((backend) => backend.connectFailures),
      [1, 1],
    );
    for (let count = 0; count < 20; count += 1) await outcome();
    assert.equal(counts().refused, 21);
    assert.ok(logs.length <= 3, `the log is rate limited, got ${logs.length} lines`);
  });

  test('without any backend the client is reset at once', async (t) => {
    const { outcome } = await startProxy(t, []);
    assert.equal(await outcome(), 'ECONNRESET');
  });

  test('fails open: backends that are down or unknown are used while none is up', async (t) => {
    const backend = await startBackend(t, echo);
    const refusing = await startBackend(t);
    await refusing.refuse();
    const { client, proxy } = await startProxy(t, [
      refusing.backend({ state: 'down', local: true }),
      backend.backend({ state: 'down' }),
    ]);
    await roundTrip(await client());
    proxy.setBackends([backend.backend({ state: 'unknown' })]);
    await roundTrip(await client());
  });

  test('a backend that is down gets nobody while another is up', async (t) => {
    const down = await startBackend(t);
    const up = await startBackend(t, echo);
    const { client } = await startProxy(t, [down.backend({ state: 'down', local: true }), up.backend()]);
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(down.sockets.length, 0);
  });
});

describe('backpressure', () => {
  test('a client that does not read holds bounded memory, others are unaffected, and it gets everything in the end', async (t) => {
    const totalBytes = 192 * MIB;
    let sentBytes = (): number => 0;
    const backend = await startBackend(
      t,
      listOrEcho(totalBytes, (sent) => (sentBytes = sent)),
    );
    const { client } = await startProxy(t, [backend.backend()]);
    globalThis.gc?.();
    const memoryBefore = process.memoryUsage().arrayBuffers;
    const slow = await client();
    slow.pause();
    slow.write('list');
    const other = await client();
    const sent = await untilStill(
      () => sentBytes(),
      'the backend',
      () => roundTrip(other, 'still here?'),
    );
    assert.ok(sent < totalBytes, `the backend is held back, it sent ${sent}`);
    const heldBytes = process.memoryUsage().arrayBuffers - memoryBefore;
    assert.ok(heldBytes < 16 * MIB, `${heldBytes} bytes are held for a client that does not read`);
    let receivedBytes = 0;
    slow.on('data', (chunk) => (receivedBytes += chunk.length));
    slow.resume();
    await until(() => receivedBytes === totalBytes, 'the slow client gets everything');
  });

  test('slow clients that hold all pipes do not stop others, and get everything in the end', async (t) => {
    const totalBytes = 48 * MIB;
    const backend = await startBackend(t, listOrEcho(totalBytes));
    const { client, counts } = await startProxy(t, [backend.backend()], { maxPipes: 2 });
    const slow = await Promise.all(Array.from({ length: 6 }, () => client()));
    for (const socket of slow) {
      socket.pause();
      socket.write('list');
    }
    const carried = await untilStill(
      () => counts().backends[0]?.bytesToClient ?? 0,
      'the way to the clients',
    );
    assert.ok(carried < slow.length * totalBytes, 'all are stalled');
    const other = await client();
    await roundTrip(other, 'x'.repeat(10_000));
    const received = slow.map(() => 0);
    for (const [index, socket] of slow.entries()) {
      socket.on('data', (chunk) => (received[index] = (received[index] ?? 0) + chunk.length));
      socket.resume();
    }
    await until(() => received.every((bytes) => bytes === totalBytes), 'the slow clients get everything');
  });

  test('a backend that does not read holds the client back', async (t) => {
    const totalBytes = 192 * MIB;
    const backend = await startBackend(t, (socket) => void socket.pause());
    const { client } = await startProxy(t, [backend.backend()]);
    const memoryBefore = process.memoryUsage().arrayBuffers;
    const upload = stream(await client(), totalBytes);
    const sent = await untilStill(upload.sentBytes, 'the client');
    assert.ok(sent < totalBytes, `the client is held back, it sent ${sent}`);
    const heldBytes = process.memoryUsage().arrayBuffers - memoryBefore;
    assert.ok(heldBytes < 16 * MIB, `${heldBytes} bytes are held for a backend that does not read`);
  });

  test('a client that stops reading for longer than TCP_USER_TIMEOUT is alive and keeps its connection', async (t) => {
    const totalBytes = 3 * MIB;
    const backend = await startBackend(t, (socket) => void stream(socket, totalBytes));
    const { client, counts } = await startProxy(t, [backend.backend()], { times: { userTimeoutMs: 700 } });
    const socket = await client();
    socket.pause();
    await delay(2_500); // the kernel's timer itself is what is tested: it fires after 0.7 s and some probes
    assert.equal(counts().clients, 1);
    let receivedBytes = 0;
    socket.on('data', (chunk) => (receivedBytes += chunk.length));
    socket.resume();
    await until(() => receivedBytes === totalBytes, 'everything arrives');
  });
});

describe('health', () => {
  test('a backend that goes down loses its connections while another is up', async (t) => {
    const first = await startBackend(t, echo);
    const second = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [first.backend({ local: true }), second.backend()]);
    const onFirst = await client();
    await roundTrip(onFirst);
    const onSecond = await client();
    await roundTrip(onSecond);
    const end = ending(onFirst);
    const backendEnd = ending(first.sockets[0]!);
    proxy.setBackends([first.backend({ state: 'down' }), second.backend()]);
    assert.equal(await end, 'ECONNRESET');
    assert.equal(await backendEnd, 'ECONNRESET');
    await roundTrip(onSecond);
    assert.equal(counts().closedBackendDown, 1);
    assert.equal(counts().clients, 1);
  });

  test('connections stay when the last backend goes down, and when another comes back', async (t) => {
    const first = await startBackend(t, echo);
    const second = await startBackend(t, echo);
    const down = { state: 'down' } as const;
    const { client, proxy, counts } = await startProxy(t, [first.backend(), second.backend(down)]);
    const socket = await client();
    await roundTrip(socket);
    proxy.setBackends([first.backend(down), second.backend(down)]);
    await roundTrip(socket);
    proxy.setBackends([first.backend(down), second.backend()]);
    await roundTrip(socket);
    assert.equal(counts().closedBackendDown, 0);
  });

  test('a client that is connecting to a backend that goes down is moved to the next one', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [silent, backend.backend()], {
      connectTimeoutMs: 60_000,
    });
    const socket = await client();
    await until(() => counts().backends[0]?.connections === 1, 'connecting');
    proxy.setBackends([{ ...silent, state: 'down' }, backend.backend()]);
    await roundTrip(socket);
    assert.equal(counts().closedBackendDown, 0);
  });

  test('a list with other members is logged, and known states are taken over', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, logs } = await startProxy(t, [backend.backend()]);
    proxy.setBackends([backend.backend({ id: '192.0.2.9:6443', host: '192.0.2.9' })]);
    proxy.setBackends([]);
    await roundTrip(await client());
    assert.deepEqual(logs[0]?.fields, { ids: ['192.0.2.9:6443'] });
  });
});

describe('VIP', () => {
  for (const { vip, other } of [
    { vip: '127.0.0.2', other: '127.0.0.1' },
    { vip: '::1', other: '127.0.0.1' },
  ]) {
    test(`removal of ${vip} closes the connections on it and no others`, async (t) => {
      const backend = await startBackend(t, echo);
      const { client, proxy, counts } = await startProxy(t, [backend.backend()]);
      const onVip = [await client(vip), await client(vip)];
      const onOther = await client(other);
      for (const socket of [...onVip, onOther]) await roundTrip(socket);
      const ends = onVip.map((socket) => ending(socket));
      assert.equal(proxy.vipRemoved(vip), 2);
      assert.deepEqual(await Promise.all(ends), ['ECONNRESET', 'ECONNRESET']);
      await roundTrip(onOther);
      assert.equal(counts().closedVipRemoved, 2);
      assert.equal(proxy.vipRemoved('192.0.2.77'), 0);
    });
  }
});

describe('a client that the kernel has accepted and the proxy has not', () => {
  /** Connects without giving the proxy a turn. */
  function connectInKernel(port: number): Socket {
    const loopback = socketAddress(parseIp('127.0.0.1') ?? assert.fail(), port);
    const fd = startConnecting(loopback);
    assert.ok(typeof fd === 'number');
    const socket = new Socket({ fd });
    socket.on('error', () => {});
    const deadlineMs = monotonicMs() + DEADLINE_MS;
    while (establishedTo(port) === 0) assert.ok(monotonicMs() < deadlineMs, 'connected in the kernel');
    return socket;
  }

  test('is reset when the VIP goes', async (t) => {
    const backend = await startBackend(t, echo);
    const { proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = connectInKernel(port);
    assert.equal(proxy.vipRemoved('127.0.0.1'), 1);
    assert.equal(await ending(socket), 'ECONNRESET');
  });

  test('is served while the proxy stops', async (t) => {
    const backend = await startBackend(t, echo);
    const { proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = connectInKernel(port);
    const stopped = proxy.stop(60_000);
    await roundTrip(socket);
    socket.end();
    await stopped;
  });
});

describe('a VIP that a successor has taken', () => {
  test('resets who waits before who talks, and serves who comes', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [backend.backend()]);
    const waiting = await client('127.0.0.2');
    const talking = await client('127.0.0.2');
    const elsewhere = await client();
    for (const socket of [waiting, talking, elsewhere]) await roundTrip(socket);
    const bornAtMs = monotonicMs();
    await until(() => monotonicMs() - bornAtMs > 300, 'all are grown up');
    const ends: string[] = [];
    waiting.once('close', () => ends.push('waiting'));
    talking.once('close', () => ends.push('talking'));
    await roundTrip(talking);
    talking.on('data', () => talking.write('and on'));
    talking.write('go');
    const handedOver = proxy.vipHandedOver('127.0.0.2');
    const late = await client('127.0.0.2');
    await roundTrip(late);
    late.end();
    assert.equal(await ending(late), 'fin');
    assert.equal(await handedOver, 2);
    await until(() => ends.length === 2, 'both have ended');
    assert.deepEqual(ends, ['waiting', 'talking']);
    await roundTrip(elsewhere);
    assert.equal(counts().closedVipRemoved, 2);
  });
});

describe('stop', () => {
  test('accepts no more, and ends as soon as the last client has left', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await roundTrip(socket);
    const stopped = proxy.stop(60_000);
    await roundTrip(socket);
    const late = connect({ host: '127.0.0.1', port });
    assert.equal(await ending(late), 'ECONNREFUSED');
    socket.end();
    await stopped;
  });

  test('resets who is left when the grace is over', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await roundTrip(socket);
    const end = ending(socket);
    await proxy.stop(50);
    assert.equal(await end, 'ECONNRESET');
  });
});

describe('listening', () => {
  test('a taken port is one sentence', async (t) => {
    const taken: Server = createServer();
    taken.listen(0, '0.0.0.0');
    await once(taken, 'listening');
    t.after(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(startProxy(t, [], { port }), (error: unknown) => {
      assert.ok(error instanceof ListenError);
      assert.equal(error.code, 'EADDRINUSE');
      assert.match(error.message, new RegExp(`^port ${port} is in use: .* choose another proxy.port$`));
      return true;
    });
  });

  test('a backend that is the proxy itself is one sentence', async (t) => {
    const own = { id: 'n1:36443', host: '192.0.2.1', port: 36443, local: true, state: 'up' } as const;
    await assert.rejects(startProxy(t, [own], { port: 36443 }), (error: unknown) => {
      assert.ok(error instanceof ListenError);
      assert.equal(error.code, 'EPROXYLOOP');
      assert.match(error.message, /^backend n1:36443 is this proxy itself .* set proxy.backendPort/);
      return true;
    });
  });

  test('a backend that turns out to be the proxy itself later is dropped, not chased', async (t) => {
    const backend = await startBackend(t, echo);
    // An address of this host that is not recognized as one at the start, as the VIP before it comes here.
    const port = await freePort();
    const itself = { id: 'itself', host: '::ffff:127.0.0.1', port, local: false, state: 'up' as const };
    const { client, counts, logs } = await startProxy(t, [itself, backend.backend()], { port });
    await roundTrip(await client());
    await until(() => counts().backends[0]?.connections === 0, 'no connection to itself is left');
    const { accepted } = counts();
    assert.ok(accepted <= 4, `${accepted} clients accepted for one`);
    await roundTrip(await client());
    assert.equal(counts().accepted, accepted + 1);
    assert.equal(logs.filter((line) => line.level === 'error').length, 1);
  });

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
    const { client, counts } = await startProxy(t, [backend.backend()], {
      limits: { ...LIMITS, acceptsPerSecond: 50 },
    });
    const fromMs = monotonicMs();
    const clients = await Promise.all(Array.from({ length: 80 }, () => client()));
    await Promise.all(clients.map((socket) => roundTrip(socket)));
    assert.ok(monotonicMs() - fromMs >= 550, '30 beyond the first 50 take 0.6 s');
    assert.ok(counts().rateLimited > 0);
    assert.equal(counts().accepted, 80);
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
    while (counts().closedAge === 0) {
      await roundTrip(busy);
      await delay(20);
    }
    assert.equal(await end, 'fin');
    assert.equal(counts().closedAge, 1);
    await roundTrip(busy);
  });

  test('without free descriptors clients are turned away, and served again when there are some', async (t) => {
    const backend = await startBackend(t, echo);
    const modules = ['./tcp-proxy.ts', '../counters.ts', './event-loop.ts'].map(
      (path) => new URL(path, import.meta.url).href,
    );
    const script = `
      const [{ TcpProxy }, { createProxyCounters }, { EventLoop }] = await Promise.all(${JSON.stringify(modules)}.map((url) => import(url)));
      const proxy = new TcpProxy(await EventLoop.start(), { port: 0, backends: [${JSON.stringify(backend.backend())}], connectTimeoutMs: 1000,
        reusePort: false, counters: createProxyCounters(), limits: ${JSON.stringify(LIMITS)}, debug: false, log: () => {} });
      console.log(proxy.listen());`;
    const limited = ['-c', 'ulimit -n 64 && exec "$0" --input-type=module -e "$1"', process.execPath, script];
    const child = spawn('sh', limited, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill());
    const port = Number((await once(child.stdout, 'data'))[0]);
    const clients: Socket[] = [];
    const ask = (): Promise<boolean> =>
      new Promise((resolve) => {
        const client = connect({ host: '127.0.0.1', port });
        clients.push(client);
        client.once('data', () => resolve(true));
        client.once('close', () => resolve(false));
        client.on('error', () => {});
        client.write('ping');
      });
    t.after(() => clients.forEach((client) => client.destroy()));
    const served = (await Promise.all(Array.from({ length: 100 }, ask))).filter(Boolean).length;
    assert.ok(served > 0 && served < 100, `${served} of 100 served`);
    for (const client of clients) client.destroy();
    const deadlineMs = monotonicMs() + DEADLINE_MS;
    while (!(await ask())) assert.ok(monotonicMs() < deadlineMs, 'nobody is served again');
  });

  test('connections are logged at level debug only', async (t) => {
    const backend = await startBackend(t, echo);
    const quiet = await startProxy(t, [backend.backend()]);
    await roundTrip(await quiet.client());
    assert.deepEqual(quiet.logs, []);
    const talking = await startProxy(t, [backend.backend()], { debug: true });
    await roundTrip(await talking.client());
    assert.deepEqual(
      talking.logs.map((line) => line.level),
      ['debug'],
    );
  });
});

test('1,000 quick connections leave no descriptor and no CLOSE_WAIT', async (t) => {
  const backend = await startBackend(t, echo);
  const { client, counts, port } = await startProxy(t, [backend.backend()]);
  const first = await client();
  await roundTrip(first); // from now on there is a pipe in the pool
  first.destroy();
  await until(() => counts().clients === 0, 'the first has left');
  const filesAtStart = openFiles();
  await playClients(1_000, 20, async (left) => {
    const abrupt = left % 3;
    const socket = await client();
    if (abrupt === 0) {
      socket.resetAndDestroy(); // before, while or after its backend is connected
      return;
    }
    await roundTrip(socket);
    if (abrupt === 1) {
      socket.resetAndDestroy();
      return;
    }
    socket.end();
    assert.equal(await ending(socket), 'fin');
  });
  await until(() => counts().clients === 0, 'all relays ended');
  assert.equal(counts().accepted, 1_001);
  await until(
    () => openFiles() <= filesAtStart,
    () => `descriptors: ${openFiles()} now, ${filesAtStart} before`,
  );
  assert.equal(closeWaits(port), 0);
  assert.equal(closeWaits(backend.port), 0);
});
