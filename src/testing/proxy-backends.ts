/** Backends of a proxy on loopback, in the test's own thread, and what they do with a connection. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ProxyBackend } from '../proxy/upstream.ts';
import { stream } from './proxy-clients.ts';
import { until } from './until.ts';

export type Backend = {
  readonly port: number;
  readonly sockets: Socket[];
  /** Closes the listener: connects are refused from now on. */
  readonly refuse: () => Promise<void>;
  /** Listens again. */
  readonly accept: () => Promise<void>;
  readonly backend: (overrides?: Partial<ProxyBackend>) => ProxyBackend;
};

/** A backend on 127.0.0.1; whatever is left of it goes when the test ends. */
export async function startBackend(
  t: TestContext,
  onSocket: (socket: Socket) => void = () => {},
): Promise<Backend> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  // As long a queue as API servers have (Go takes somaxconn): this thread is slow to accept.
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const refuse = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    await until(() => !server.listening, 'listener closed');
  };
  t.after(async () => {
    await refuse();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port,
    sockets,
    refuse,
    accept: async () => {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    backend: (overrides = {}) => ({
      id: `127.0.0.1:${port}`,
      host: '127.0.0.1',
      port,
      local: false,
      state: 'up',
      ...overrides,
    }),
  };
}

/** Answers each chunk with itself. */
export function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** Hears the client out, and answers its FIN. */
export function answerFin(answer: string | Buffer): (socket: Socket) => void {
  return (socket) => {
    socket.resume();
    socket.on('end', () => socket.end(answer));
  };
}

/** Who asks for `list` gets `totalBytes`; `onStream` is told how many were sent. All others get back what they say. */
export function listOrEcho(
  totalBytes: number,
  onStream: (sentBytes: () => number) => void = () => {},
): (socket: Socket) => void {
  return (socket) => {
    socket.once('data', (request) => {
      if (String(request) === 'list') {
        onStream(stream(socket, totalBytes).sentBytes);
        return;
      }
      socket.write(request);
      echo(socket);
    });
  };
}

/** A backend whose accept queue is full and never emptied, so that the kernel drops each further SYN. */
export async function startSilentBackend(t: TestContext): Promise<ProxyBackend> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer();
     server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const fillers: Socket[] = [];
  t.after(async () => {
    for (const filler of fillers) filler.destroy();
    await worker.terminate();
  });
  const [port] = (await once(worker, 'message')) as [number];
  for (;;) {
    const filler = connect({ host: '127.0.0.1', port });
    filler.on('error', () => {});
    fillers.push(filler);
    const accepted = await Promise.race([once(filler, 'connect').then(() => true), delay(200, false)]);
    if (!accepted) return { id: 'silent', host: '127.0.0.1', port, local: true, state: 'up' };
    assert.ok(fillers.length < 10, 'the accept queue never fills');
  }
}
