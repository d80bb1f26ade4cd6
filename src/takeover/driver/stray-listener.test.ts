/** What needs no privileges; that it silences the kernel is shown by e2e/lab/handover.test.ts. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';

import { SO_REUSEPORT, SOL_SOCKET } from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';
import { setOption } from '../../net/socket.ts';
import { StrayListener } from './stray-listener.ts';

async function startServer(t: TestContext): Promise<{ server: Server; port: number; fd: number }> {
  const server = createServer((socket) => socket.end('served')).listen(0, '::');
  t.after(() => server.close());
  await once(server, 'listening');
  // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  return { server, port: (server.address() as AddressInfo).port, fd };
}

async function ask(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
}

test('new connections go to the listener that serves, silent or not, from as many ports as there are', async (t) => {
  const { port, fd } = await startServer(t);
  assert.equal(setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
  const stray = new StrayListener(port, 1);
  t.after(() => stray.close());
  for (const act of [() => stray.silence(), () => stray.speak(), () => stray.close()]) {
    for (let count = 0; count < 50; count += 1) {
      assert.equal(await ask('127.0.0.1', port), 'served');
      assert.equal(await ask('::1', port), 'served');
    }
    act();
  }
  assert.equal(await ask('127.0.0.1', port), 'served');
});

test('beside a listener that does not share its port there is no place', async (t) => {
  const { port } = await startServer(t);
  assert.throws(
    () => new StrayListener(port, 1),
    (error) => error instanceof NetError && error.code === 'EADDRINUSE',
  );
});
