/** A proxy on loopback with its backends and clients, all in the test's own thread. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, beforeEach } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../net/clock.ts';
import type { ProxyLimits } from '../proxy/admission.ts';
import { createProxyCounters, ProxyCounters } from '../proxy/counters.ts';
import type { ProxyCounts } from '../proxy/counters.ts';
import { EventLoop } from '../proxy/driver/event-loop.ts';
import { TcpProxy } from '../proxy/driver/tcp-proxy.ts';
import type { TcpProxyOptions } from '../proxy/driver/tcp-proxy.ts';
import type { ProxyBackend } from '../proxy/upstream.ts';
import type { LogFields, LogLevel } from '../log/log.ts';

export const DEADLINE_MS = 8_000;
export const MIB = 1024 * 1024;
export const LIMITS: ProxyLimits = {
  maxConnections: 10_000,
  maxConnectionsPerSource: 0,
  allowedSources: [],
  acceptsPerSecond: 0,
  maxConnectionAgeMs: 0,
};

export async function until(
  condition: () => boolean,
  what: string | (() => string),
  withinMs = DEADLINE_MS,
): Promise<void> {
  const deadlineMs = monotonicMs() + withinMs;
  while (!condition()) {
    assert.ok(
      monotonicMs() < deadlineMs,
      `not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`,
    );
    await delay(5);
  }
}

export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A line of /proc/net/tcp as its words: local and remote `address:port` in hexadecimal, and the state. */
function connectionsOf(port: number, state: string): string[][] {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => readFileSync(path, 'utf8').split('\n'));
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote, is]) => is === state && `${local} ${remote}`.includes(hexPort));
}

/** Connections in CLOSE_WAIT (state 08) with this local or remote port: a FIN that nobody answered. */
export function closeWaits(port: number): number {
  return connectionsOf(port, '08').length;
}

/** Connections to this port that the kernel has established (state 01), whether anybody has accepted them or not. */
export function establishedTo(port: number): number {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return connectionsOf(port, '01').filter(([, , remote]) => remote?.endsWith(hexPort)).length;
}

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

export function echo(socket: Socket): void {
  socket.pipe(socket);
}

export type Log = { readonly level: LogLevel; readonly message: string; readonly fields: LogFields };
export type Proxy = {
  readonly proxy: TcpProxy;
  readonly port: number;
  readonly logs: Log[];
  readonly counts: () => ProxyCounts;
  readonly view: ProxyCounters;
  /** A client of the proxy, connected; reset when the test ends. */
  readonly client: (host?: string) => Promise<Socket>;
  /** How a client ends that connects and only listens. */
  readonly outcome: () => Promise<string>;
};

export async function startProxy(
  t: TestContext,
  backends: readonly ProxyBackend[],
  options: Partial<TcpProxyOptions> = {},
): Promise<Proxy> {
  const counters = createProxyCounters();
  const logs: Log[] = [];
  const loop = await EventLoop.start();
  const proxy = new TcpProxy(loop, {
    port: 0,
    backends,
    connectTimeoutMs: 1_000,
    reusePort: false,
    counters,
    limits: LIMITS,
    debug: false,
    log: (level, message, fields) => logs.push({ level, message, fields: fields ?? {} }),
    ...options,
    times: { checkIntervalMs: 100, flushIntervalMs: 20, ...options.times },
  });
  const port = listenOrStop(proxy, loop);
  const clients: Socket[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    await proxy.stop(0);
    loop.stop();
    const counts = view.read(backends.length);
    assert.equal(counts.clients, 0, 'no client is left');
    for (const backend of counts.backends) assert.equal(backend.connections, 0, 'no connection is left');
  });
  const view = new ProxyCounters(counters);
  return {
    proxy,
    port,
    logs,
    counts: () => view.read(backends.length),
    view,
    client: async (host = '127.0.0.1') => {
      const client = connect({ host, port, allowHalfOpen: true, noDelay: true });
      clients.push(client);
      await once(client, 'connect');
      client.on('error', () => {});
      return client;
    },
    outcome: () => ending(connect({ host: '127.0.0.1', port })),
  };
}

function listenOrStop(proxy: TcpProxy, loop: EventLoop): number {
  try {
    return proxy.listen();
  } catch (error) {
    loop.stop();
    throw error;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '::');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** How a socket ended: 'fin', or the code of its error. Reads it, so it must not be paused. */
export function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('end', () => resolve('fin'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.resume();
  });
}

export async function roundTrip(client: Socket, text = 'ping'): Promise<void> {
  const answer = once(client, 'data');
  client.write(text);
  assert.equal(String((await answer)[0]), text);
}

/** Sends `totalBytes` of random data in chunks of random size, with backpressure; returns its SHA-256. */
export async function sendRandom(socket: Socket, totalBytes: number): Promise<string> {
  const hash = createHash('sha256');
  const source = randomBytes(2 * MIB);
  let leftBytes = totalBytes;
  while (leftBytes > 0) {
    const bytes = Math.min(leftBytes, randomInt(1, randomInt(2, 300_000)));
    const start = randomInt(source.length - bytes);
    const chunk = source.subarray(start, start + bytes);
    hash.update(chunk);
    leftBytes -= bytes;
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

export async function receiveAll(socket: Socket): Promise<{ readonly hash: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash: hash.digest('hex'), bytes };
}

/** Writes `totalBytes` as fast as the socket takes them; `sentBytes` tells how many that were so far. */
export function stream(socket: Socket, totalBytes: number): { sentBytes: () => number } {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let sent = 0;
  const fill = (): void => {
    while (sent < totalBytes && !socket.destroyed) {
      sent += chunk.length;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on('drain', fill);
  fill();
  return { sentBytes: () => sent };
}

/** A port whose accept queue is full and never emptied, so that the kernel drops each further SYN. */
export async function startSynDropper(t: TestContext): Promise<number> {
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
    if (!accepted) return port;
    assert.ok(fillers.length < 10, 'the accept queue never fills');
  }
}

/**
 * Fails each test of the file that leaves a descriptor open. Open files before the first one do not count: what the
 * process opens once and keeps is no leak.
 */
export function watchDescriptors(): void {
  const filesBefore: number[] = [];
  const nothingLeft = async (): Promise<void> => {
    const [, expected = Number.POSITIVE_INFINITY] = filesBefore;
    await until(
      () => openFiles() <= expected,
      () => `the last test leaves ${openFiles()} files, not ${expected}`,
    );
  };
  beforeEach(async () => {
    filesBefore.push(openFiles());
    await nothingLeft();
  });
  after(nothingLeft);
}
