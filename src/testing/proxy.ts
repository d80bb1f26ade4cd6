/** A proxy on loopback and its clients, all in the test's own thread. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { LogFields, LogLevel } from '../log/log.ts';
import { createAdmissionMemory, type ProxyLimits } from '../proxy/admission.ts';
import { createProxyCounters, ProxyCounters } from '../proxy/counters.ts';
import type { ProxyCounts } from '../proxy/counters.ts';
import { EventLoop } from '../proxy/driver/event-loop.ts';
import { TcpProxy } from '../proxy/driver/tcp-proxy.ts';
import type { TcpProxyOptions } from '../proxy/driver/tcp-proxy.ts';
import type { ProxyBackend } from '../proxy/upstream.ts';
import { ending } from './proxy-clients.ts';

export const LIMITS: ProxyLimits = {
  maxConnections: 10_000,
  maxConnectionsPerSource: 0,
  allowedSources: [],
  acceptsPerSecond: 0,
  maxConnectionAgeMs: 0,
};

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
    admission: createAdmissionMemory(options.limits ?? LIMITS, 1),
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
