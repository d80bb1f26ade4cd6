/** What the proxy knows of sockets that Node does not: pairs on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../../net/clock.ts';
import { readTcpInfo, TCP_STATE_CLOSE } from '../../net/tcp-info.ts';
import { fileDescriptor, resetSocket, SocketWatch } from './tcp-socket.ts';

const DEADLINE_MS = 8_000;

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = monotonicMs() + DEADLINE_MS;
  while (!condition()) {
    assert.ok(monotonicMs() < deadlineMs, `not within ${DEADLINE_MS} ms: ${what}`);
    await delay(5);
  }
}

/** Two ends of one connection, both paused, both half-open. */
async function socketPair(t: TestContext): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const far = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const [near] = (await once(server, 'connection')) as [Socket];
  if (far.connecting) await once(far, 'connect');
  for (const socket of [near, far]) socket.on('error', () => {});
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far };
}

/** The kernel's names of what is open; unlike descriptors they are not reused. */
function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the directory that was just listed
    }
  });
}

function nextTick(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}

function isClosedInKernel(socket: Socket): boolean {
  return readTcpInfo(fileDescriptor(socket))?.state === TCP_STATE_CLOSE;
}

describe('resetSocket', () => {
  test('sends RST though bytes wait to be sent', async (t) => {
    const { near, far } = await socketPair(t);
    near.write(Buffer.alloc(32 * 1024 * 1024));
    resetSocket(near);
    far.resume();
    const [error] = await once(far, 'error');
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
  });

  test('closes the descriptor also while a FIN is being sent, when Node itself would leak it', async (t) => {
    for (const ticks of [0, 1, 2, 3]) {
      const { near } = await socketPair(t);
      const file = readlinkSync(`/proc/self/fd/${fileDescriptor(near)}`);
      near.end();
      for (let tick = 0; tick < ticks; tick += 1) await nextTick();
      resetSocket(near);
      await until(() => !openFiles().includes(file), `the descriptor is closed after ${ticks} ticks`);
      assert.ok(near.destroyed);
    }
  });
});

describe('SocketWatch', () => {
  test('sees a reset of a socket that nobody reads', async (t) => {
    const { near, far } = await socketPair(t);
    const watch = new SocketWatch(near, 30_000);
    assert.ok(watch.check());
    far.resetAndDestroy();
    await until(() => isClosedInKernel(near), 'the RST has come');
    assert.equal(watch.check(), false);
  });

  test('sees a reset that follows our own FIN', async (t) => {
    const { near, far } = await socketPair(t);
    const watch = new SocketWatch(near, 30_000);
    near.end();
    far.resume();
    await once(far, 'end');
    assert.ok(watch.check());
    far.resetAndDestroy();
    await until(() => isClosedInKernel(near), 'the RST has come');
    assert.equal(watch.check(), false);
  });

  test('an orderly end is no reset: what was sent before the FIN can still be read', async (t) => {
    const { near, far } = await socketPair(t);
    const watch = new SocketWatch(near, 30_000);
    near.end();
    far.resume();
    far.end(Buffer.alloc(10_000));
    await until(() => isClosedInKernel(near), 'both FINs are exchanged');
    assert.ok(watch.check());
    let receivedBytes = 0;
    near.on('data', (chunk) => (receivedBytes += chunk.length));
    near.resume();
    await once(near, 'end');
    assert.equal(receivedBytes, 10_000);
  });
});
