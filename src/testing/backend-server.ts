/** A backend for tests, on a free port of loopback. */
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, type Server, type Socket, createServer as createTcpServer } from 'node:net';
import { type IpAddress, parseIp } from '../ip/address.ts';
import type { KeyPair } from './certificates.ts';

export type TestBackend<Listener extends Server = Server> = {
  readonly server: Listener;
  readonly address: IpAddress;
  readonly port: number;
  /** Connections that have been accepted and are not closed yet. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
};

/** An HTTPS server with the given certificate. */
export function listenHttps(
  { cert, key }: KeyPair,
  onRequest: RequestListener = (_request, response) => response.end('ok'),
  host = '127.0.0.1',
): Promise<TestBackend<ReturnType<typeof createServer>>> {
  return listen(createServer({ cert, key }, onRequest), host);
}

/** A TCP server that does with a connection what the test says; by default it reads, and never says a word. */
export function listenTcp(
  onConnection: (socket: Socket) => void = (socket) => socket.resume(),
): Promise<TestBackend> {
  return listen(createTcpServer(onConnection), '127.0.0.1');
}

async function listen<Listener extends Server>(
  server: Listener,
  host: string,
): Promise<TestBackend<Listener>> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = parseIp(host);
  if (address === null) throw new Error(`${host} is not an address`);
  const close = async (): Promise<void> => {
    const closed = server.listening ? once(server, 'close') : Promise.resolve();
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { server, address, port, sockets, close };
}
