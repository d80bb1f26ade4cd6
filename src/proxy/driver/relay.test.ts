/** What one connection carries, and how it ends, on loopback. Needs no privileges. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { libc } from '../../net/libc.ts';
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
  sendRandom,
  stream,
} from '../../testing/proxy-clients.ts';
import { startProxy } from '../../testing/proxy.ts';
import { closeWaits, openFiles, queuedBytes, watchDescriptors } from '../../testing/sockets.ts';
import { until, untilStill } from '../../testing/until.ts';

watchDescriptors();

const MSG_OOB = 1;
const ENOSPC = 28;

function sendUrgent(socket: Socket, octet: string): void {
  // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  assert.equal(libc.send(fd, Buffer.from(octet), 1, MSG_OOB), 1);
}

/** More than a client that does not read has room for, and less than the proxy's socket to it takes. */
const ANSWER_BYTES = MIB;
/** A LIST, scaled. */
const LIST_BYTES = 192 * MIB;
/**
 * Two connections' buffers in the kernel: 4 MiB to send and up to 32 MiB to receive (tcp_wmem, tcp_rmem), and no more.
 */
const HELD_BYTES = 80 * MIB;

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
      assert.equal(counts().endings.finished, 1);
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

  for (const { how, maxPipes, endsWithFin } of [
    { how: 'with pipes', maxPipes: 128, endsWithFin: false },
    { how: 'with pipes, and FIN', maxPipes: 128, endsWithFin: true },
    { how: 'without pipes', maxPipes: 0, endsWithFin: false },
    { how: 'without pipes, and FIN', maxPipes: 0, endsWithFin: true },
  ]) {
    test(`behind urgent data arrive at once, ${how}`, async (t) => {
      const backend = await startBackend(t);
      const { client } = await startProxy(t, [backend.backend()], { maxPipes });
      const socket = await client();
      await until(() => backend.sockets.length === 1, 'connected');
      const before = 'b'.repeat(100_000);
      const after = 'a'.repeat(100_000);
      // All of it waits at the proxy before that looks: this thread is the proxy's own.
      socket.write(before);
      sendUrgent(socket, '!');
      socket.write(after);
      if (endsWithFin) socket.end();
      let received = '';
      backend.sockets[0]?.on('data', (chunk) => (received += String(chunk)));
      // Without the urgent byte, which no TLS client sends.
      await until(
        () => received.length === before.length + after.length,
        () => `${received.length} octets have come`,
      );
      assert.equal(received, before + after);
    });
  }

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

  for (const { who, finishes } of [
    { who: 'has finished', finishes: true },
    { who: 'may still ask', finishes: false },
  ]) {
    test(`a client that ${who} and pauses for longer than TCP_USER_TIMEOUT before the end of an answer gets all of it`, async (t) => {
      const backend = await startBackend(t, (socket) => void socket.resume());
      const { client, counts } = await startProxy(t, [backend.backend()], { times: { userTimeoutMs: 700 } });
      const socket = await client();
      socket.pause();
      if (finishes) socket.end();
      await until(() => backend.sockets.length === 1, 'connected');
      const sent = await sendRandom(backend.sockets[0] ?? assert.fail(), ANSWER_BYTES);
      await until(() => !finishes || counts().clients === 0, 'the proxy has passed all of it on');
      await delay(2_500); // the kernel's timer itself is what is tested: it fires after 0.7 s and some probes
      assert.deepEqual(await receiveAll(socket), { hash: sent, bytes: ANSWER_BYTES });
      socket.end();
      await until(() => counts().clients === 0, 'the relay has ended');
    });
  }

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
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await until(() => backend.sockets.length === 1, 'connected');
    const end = ending(backend.sockets[0]!);
    socket.resetAndDestroy();
    assert.equal(await end, 'ECONNRESET');
    assert.equal(counts().endings.client_reset, 1);
  });

  test('from the backend reaches the client as RST', async (t) => {
    const backend = await startBackend(t);
    const { client, counts } = await startProxy(t, [backend.backend()]);
    const end = ending(await client());
    await until(() => backend.sockets.length === 1, 'connected');
    backend.sockets[0]?.resetAndDestroy();
    assert.equal(await end, 'ECONNRESET');
    assert.equal(counts().endings.backend_reset, 1);
  });

  for (const { whose, failsAt } of [
    { whose: 'a client', failsAt: 1 },
    { whose: 'its backend connection', failsAt: 2 },
  ]) {
    test(`to a client when the kernel cannot watch ${whose}, and the next one is served`, async (t) => {
      const backend = await startBackend(t, echo);
      const { client, counts } = await startProxy(t, [backend.backend()]);
      let watches = 0;
      const { epollCtl } = libc;
      const mocked = t.mock.method(libc, 'epollCtl', (...parameters: Parameters<typeof epollCtl>) => {
        watches += 1;
        return watches === failsAt ? -ENOSPC : epollCtl(...parameters);
      });
      assert.equal(await ending(await client()), 'ECONNRESET');
      mocked.mock.restore();
      assert.equal(counts().endings.no_resources, 1);
      await roundTrip(await client());
    });
  }

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
      accepted?.prependOnceListener('end', () => proxy.closeVip('127.0.0.1'));
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

describe('backpressure', () => {
  test('a client that does not read holds bounded memory, others are unaffected, and it gets everything in the end', async (t) => {
    const backend = await startBackend(t, (socket) => {
      socket.once('data', (request) => {
        if (String(request) === 'list') return;
        socket.write(request);
        echo(socket);
      });
    });
    const { client, port } = await startProxy(t, [backend.backend()]);
    const slow = await client();
    slow.pause();
    slow.write('list');
    await until(() => backend.sockets.length === 1, 'connected');
    const sender = backend.sockets[0] ?? assert.fail();
    globalThis.gc?.();
    const memoryBefore = process.memoryUsage();
    const sending = sendRandom(sender, LIST_BYTES);
    const other = await client();
    const sent = await untilStill(
      () => sender.bytesWritten,
      'the backend',
      () => roundTrip(other, 'still here?'),
    );
    assert.ok(sent < HELD_BYTES, `the kernel's buffers and one pipe hold ${sent} bytes`);
    const unsentBytes = queuedBytes(port).unsent;
    assert.ok(unsentBytes <= 1.5 * MIB, `the proxy's socket to the client holds ${unsentBytes} bytes`);
    globalThis.gc?.();
    const { arrayBuffers, rss } = process.memoryUsage();
    assert.ok(arrayBuffers - memoryBefore.arrayBuffers < 16 * MIB, 'buffers for a client that does not read');
    assert.ok(rss - memoryBefore.rss < 64 * MIB, 'memory for a client that does not read');
    assert.deepEqual(await receiveAll(slow), { hash: await sending, bytes: LIST_BYTES });
    slow.end();
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
