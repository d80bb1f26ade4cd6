import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { parseIp } from '../ip/address.ts';
import { abortConnection } from './tcp-abort.ts';

const isRoot = process.getuid?.() === 0;

async function connection(t: TestContext, host: string): Promise<{ client: Socket; port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}));
  server.listen({ port: 0, host });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ host, port });
  await once(client, 'connect');
  t.after(() => {
    client.destroy();
    server.close();
  });
  return { client, port };
}

for (const host of ['127.0.0.1', '::1']) {
  const address = parseIp(host) ?? assert.fail();

  test(`ends the client's socket of a connection by its addresses, ${host}`, { skip: !isRoot }, async (t) => {
    const { client, port } = await connection(t, host);
    const ended = once(client, 'error');
    assert.equal(abortConnection({ address, port: client.localPort! }, { address, port }), null);
    const [error] = (await ended) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNABORTED');
    assert.equal(abortConnection({ address, port: client.localPort ?? 1 }, { address, port }), null, 'gone');
  });

  test(`a listener is not what is meant, ${host}`, { skip: !isRoot }, async (t) => {
    const { client, port } = await connection(t, host);
    assert.equal(abortConnection({ address, port }, { address, port: 1 }), null);
    const again = connect({ host, port });
    await once(again, 'connect');
    again.destroy();
    assert.equal(client.destroyed, false);
  });
}
