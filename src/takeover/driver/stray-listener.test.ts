/** What needs no privileges; that it silences the kernel is shown by e2e/lab/handover.test.ts. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test, type TestContext } from 'node:test';

import { parseIp } from '../../ip/address.ts';
import { SO_REUSEPORT, SOL_SOCKET } from '../../net/linux.ts';
import { NetError } from '../../net/net-error.ts';
import { setOption } from '../../net/socket.ts';
import { StrayListener } from './stray-listener.ts';

const VIP = parseIp('192.0.2.1') ?? assert.fail();
const CLIENTS = 200;

type Serving = { readonly port: number; readonly fd: number; readonly counts: number[] };

/** Servers that share a port, and how many clients each has had; `fd` is the descriptor of the first. */
async function startServers(t: TestContext, servers: number, reusePort: boolean): Promise<Serving> {
  const counts: number[] = [];
  let [port, fd] = [0, -1];
  for (let index = 0; index < servers; index += 1) {
    counts.push(0);
    const server = createServer((socket) => {
      counts[index] = (counts[index] ?? 0) + 1;
      socket.end('served');
    }).listen({ port, host: '::', reusePort });
    t.after(() => server.close());
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
    // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
    if (index === 0) ({ fd } = (server as unknown as { _handle: { fd: number } })._handle);
  }
  return { port, fd, counts };
}

async function ask(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
}

async function askOften(port: number): Promise<void> {
  for (let count = 0; count < CLIENTS; count += 2) {
    assert.equal(await ask('127.0.0.1', port), 'served');
    assert.equal(await ask('::1', port), 'served');
  }
}

test('new connections go to the listener that serves, during a handover and after it', async (t) => {
  const { port, fd } = await startServers(t, 1, false);
  assert.equal(setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
  const stray = new StrayListener(port, 1, [VIP]);
  t.after(() => stray.close());
  await askOften(port);
  stray.close();
  await askOften(port);
});

for (const listeners of [2, 3, 4]) {
  test(`ordinary clients, whose ports are all even, are spread over ${listeners} listeners, in a handover as well`, async (t) => {
    const { port, counts } = await startServers(t, listeners, true);
    const assertSpread = (when: string): void => {
      const least = CLIENTS / listeners / 3;
      assert.ok(
        counts.every((count) => count > least),
        `${when}: ${counts.join('/')}`,
      );
      counts.fill(0);
    };
    await askOften(port);
    assertSpread('before a handover');
    const stray = new StrayListener(port, listeners, [VIP]);
    t.after(() => stray.close());
    await askOften(port);
    assertSpread('in a handover');
    stray.close();
    await askOften(port);
    assertSpread('after a handover');
  });
}

test('beside a listener that does not share its port there is no place', async (t) => {
  const { port } = await startServers(t, 1, false);
  assert.throws(
    () => new StrayListener(port, 1, [VIP]),
    (error) => error instanceof NetError && error.code === 'EADDRINUSE',
  );
});
