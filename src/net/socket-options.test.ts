import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';

import koffi from 'koffi';

import { NetError } from './net-error.ts';
import { setTcpUserTimeoutMs } from './socket-options.ts';

const getsockopt = koffi
  .load(null)
  .func('int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)');

test('RFC 5482: the user timeout of a connection is what was set', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const read = (): number => {
    const value = Buffer.alloc(4);
    assert.equal(getsockopt(fd, 6, 18, value, [4]), 0);
    return value.readUInt32LE();
  };
  setTcpUserTimeoutMs(fd, 25_000);
  assert.equal(read(), 25_000);
  setTcpUserTimeoutMs(fd, 0);
  assert.equal(read(), 0);
  socket.destroy();
  server.close();
});

test('a descriptor that is no socket is a NetError with its code', () => {
  assert.throws(
    () => setTcpUserTimeoutMs(-1, 1000),
    (error) => error instanceof NetError && error.code === 'EBADF',
  );
});
