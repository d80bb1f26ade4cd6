/** Sockets as descriptors on loopback: what is set on them, and whom they name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { parseIp } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { libc } from '../../net/libc.ts';
import { NetError } from '../../net/net-error.ts';
import {
  AF_INET6,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPIDLE,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from '../../net/linux.ts';
import {
  acceptClient,
  acceptedClient,
  connectsToItself,
  keepWatch,
  localAddress,
  openListener,
  setUserTimeoutMs,
  socketAddress,
  startConnecting,
} from './tcp-socket.ts';

const OPTIONS = { keepAliveIdleMs: 15_000, userTimeoutMs: 30_000 };

function option(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  assert.equal(libc.getsockopt(fd, level, name, value, Buffer.of(4, 0, 0, 0)), 0);
  return value.readInt32LE();
}

function watchOf(fd: number): readonly number[] {
  return [
    option(fd, SOL_SOCKET, SO_KEEPALIVE),
    option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
    option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
  ];
}

/** A listener on all addresses, and both ends of a connection to it. */
function connectTo(t: TestContext, host: string): { readonly near: number; readonly far: number } {
  const listener = openListener(AF_INET6, { ...OPTIONS, port: 0, reusePort: false, backlog: 16 });
  const { port } = localAddress(listener);
  const far = startConnecting(socketAddress(parseIp(host) ?? assert.fail(host), port));
  assert.ok(typeof far === 'number');
  const deadlineMs = monotonicMs() + 8_000;
  let near = -1;
  while (near < 0) {
    near = acceptClient(listener);
    assert.ok(monotonicMs() < deadlineMs, 'nobody comes');
  }
  t.after(() => {
    for (const fd of [listener, near, far]) libc.close(fd);
  });
  return { near, far };
}

test('an accepted client inherits what finds out that it is gone', (t) => {
  const { near } = connectTo(t, '127.0.0.1');
  assert.deepEqual(watchOf(near), [1, 15, 30_000]);
  assert.equal(option(near, IPPROTO_TCP, TCP_NODELAY), 1);
});

test('a backend connection is not kept watch over until it is asked for', (t) => {
  const { far } = connectTo(t, '127.0.0.1');
  assert.equal(watchOf(far)[0], 0);
  assert.equal(option(far, IPPROTO_TCP, TCP_NODELAY), 1);
  keepWatch(far, OPTIONS);
  assert.deepEqual(watchOf(far), [1, 15, 30_000]);
});

test('addresses are as Node prints them', (t) => {
  for (const [host, text] of [
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['::1', '::1'],
  ] as const) {
    const { near, far } = connectTo(t, host);
    assert.equal(acceptedClient().text, text);
    assert.equal(acceptedClient().port, localAddress(far).port);
    assert.equal(localAddress(near).text, text);
  }
});

test('a connection whose ends have the same address is one to this host', (t) => {
  assert.equal(connectsToItself(connectTo(t, '127.0.0.1').far), true);
});

test('RFC 5482: the user timeout of a connection is what was set', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  setUserTimeoutMs(fd, 25_000);
  assert.equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 25_000);
  setUserTimeoutMs(fd, 0);
  assert.equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  socket.destroy();
  server.close();
});

test('a descriptor that is no socket is a NetError with its code', () => {
  assert.throws(
    () => setUserTimeoutMs(-1, 1000),
    (error) => error instanceof NetError && error.code === 'EBADF',
  );
});
