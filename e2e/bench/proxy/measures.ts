/**
 * What is measured of each proxy. Costs are the CPU time of the proxy's process, so that a busy machine changes little.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { monotonicMs } from '../../../src/runtime/clock.ts';
import type { Contender } from './contenders.ts';
import { cpuMs, cpuMsByThread, end, manyClients, residentKib } from './processes.ts';

const run = promisify(execFile);

/** Figures of one measurement, by name. */
export type Figures = Readonly<Record<string, number>>;

export type Measure = {
  readonly name: string;
  readonly take: (contender: Contender) => Promise<Figures>;
};

const BULK_STREAMS = 4;
const BULK_BYTES = 512 * 1024 * 1024;
const WRK_SECONDS = 4;
const WRK_CONNECTIONS = 32;
const MANY_CLIENTS = manyClients();
/** For people. */
const MANY = MANY_CLIENTS.toLocaleString('en');
const SETTLE_DEADLINE_MS = 12_000;
const SETTLED_MS = 3_000;
const STORM_DEADLINE_MS = 60_000;
/** As fast as one process of Node can ask for them. */
const DIAL_BATCH = 500;

async function bulk(contender: Contender, direction: 'down' | 'up'): Promise<Figures> {
  const pid = contender.pid.stream;
  const fromCpuMs = cpuMs(pid);
  const fromMs = monotonicMs();
  const streams = Array.from({ length: BULK_STREAMS }, () =>
    direction === 'down' ? download(contender.ports.stream) : upload(contender.ports.stream),
  );
  await Promise.all(streams);
  const gigabits = (BULK_STREAMS * BULK_BYTES * 8) / 1e9;
  const usedMs = cpuMs(pid) - fromCpuMs;
  return {
    [`bulk ${direction}, Gbit/s per core`]: gigabits / (usedMs / 1000),
    [`bulk ${direction}, CPU ms per GB`]: usedMs / (gigabits / 8),
    [`bulk ${direction}, Gbit/s as it came`]: gigabits / ((monotonicMs() - fromMs) / 1000),
  };
}

async function download(port: number): Promise<void> {
  let receivedBytes = 0;
  const buffer = Buffer.alloc(256 * 1024);
  const onread = { buffer, callback: (bytes: number): boolean => (receivedBytes += bytes) >= 0 };
  const socket = connect({ port, host: '127.0.0.1', onread });
  socket.write(`down ${BULK_BYTES}\n`);
  await once(socket, 'end');
  if (receivedBytes !== BULK_BYTES) throw new Error(`${receivedBytes} of ${BULK_BYTES} bytes arrived`);
  socket.destroy();
}

async function upload(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  socket.write('up\n');
  for (let sent = 0; sent < BULK_BYTES; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'data');
  socket.destroy();
}

type WrkResult = {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
};

/** wrk's own units: `1.23us`, `4.5ms`, `1.2s`. */
function microseconds(text: string): number {
  const [, number = 'NaN', unit = 's'] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? [];
  return Number(number) * ({ us: 1, ms: 1000, s: 1e6 }[unit] ?? Number.NaN);
}

async function wrk(core: number, url: string, headers: readonly string[]): Promise<WrkResult> {
  const load = ['-t1', `-c${WRK_CONNECTIONS}`, `-d${WRK_SECONDS}s`, '--latency'];
  const command = ['-c', String(core), 'wrk', ...load, ...headers.flatMap((header) => ['-H', header]), url];
  const { stdout } = await run('taskset', command);
  const find = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '';
  const errors = /Socket errors: (.*)|Non-2xx or 3xx responses: (.*)/.exec(stdout);
  if (errors !== null) throw new Error(`wrk ${url}: ${errors[0]}`);
  return {
    requests: Number(find(/(\d+) requests in/)),
    perSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50Us: microseconds(find(/\n +50% +(\S+)/)),
    p99Us: microseconds(find(/\n +99% +(\S+)/)),
  };
}

async function newConnections(
  core: number,
  contender: Contender,
  backend: 'http' | 'https',
): Promise<Figures> {
  const pid = contender.pid[backend];
  const before = cpuMsByThread(pid);
  const url = `${backend}://127.0.0.1:${contender.ports[backend]}/healthz`;
  const { requests, perSecond } = await wrk(core, url, ['Connection: close']);
  const usedByThreadUs = [...cpuMsByThread(pid)].map(([task, ms]) => (ms - (before.get(task) ?? 0)) * 1000);
  const usedUs = usedByThreadUs.reduce((sum, us) => sum + us, 0);
  const kind = backend === 'http' ? 'plain' : 'TLS';
  return {
    [`new connections ${kind}, per second and core`]: requests / (usedUs / 1e6),
    [`new connections ${kind}, CPU us each`]: usedUs / requests,
    [`new connections ${kind}, per second as it came`]: perSecond,
    [`new connections ${kind}, % of it in the busiest thread`]: (Math.max(...usedByThreadUs) / usedUs) * 100,
  };
}

async function keptAlive(core: number, contender: Contender): Promise<Figures> {
  const pid = contender.pid.http;
  const fromCpuMs = cpuMs(pid);
  const { requests, perSecond, p50Us, p99Us } = await wrk(
    core,
    `http://127.0.0.1:${contender.ports.http}/healthz`,
    [],
  );
  return {
    'kept alive, p50 us': p50Us,
    'kept alive, p99 us': p99Us,
    'kept alive, CPU us per request': ((cpuMs(pid) - fromCpuMs) * 1000) / requests,
    'kept alive, requests per second as it came': perSecond,
  };
}

/** Opens clients that say one line, hear one byte, and then are silent. */
async function hold(port: number, count: number, batch: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const answers: Promise<unknown>[] = [];
  for (let left = count; left > 0; left -= batch) {
    const dialled = Array.from({ length: Math.min(batch, left) }, () => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {}); // of the proxy that is ended
      socket.write('hold\n');
      sockets.push(socket);
      return once(socket, 'data');
    });
    answers.push(...dialled);
    if (batch < count) await Promise.all(dialled);
  }
  await Promise.race([
    Promise.all(answers),
    delay(STORM_DEADLINE_MS, null, { ref: false }).then(() => {
      throw new Error(`not all of ${count} clients were served within ${STORM_DEADLINE_MS} ms`);
    }),
  ]);
  return sockets;
}

/** Allocators and collectors give memory back late: the least of what is seen until it stops falling. */
async function settledKib(pid: number, trimSignal: NodeJS.Signals | null): Promise<number> {
  const deadlineMs = monotonicMs() + SETTLE_DEADLINE_MS;
  let least = Number.POSITIVE_INFINITY;
  let sinceMs = monotonicMs();
  while (monotonicMs() < deadlineMs && monotonicMs() - sinceMs < SETTLED_MS) {
    if (trimSignal !== null) process.kill(pid, trimSignal);
    await delay(500);
    const now = residentKib(pid);
    if (now >= least) continue;
    least = now;
    sinceMs = monotonicMs();
  }
  return least;
}

/** Of a process that has served nobody before: what was once used is kept by some, and would hide what is needed. */
async function idleMemory({ launch, trimSignal }: Contender): Promise<Figures> {
  const { pid, port } = await launch();
  const emptyKib = await settledKib(pid, trimSignal);
  const thousand = await hold(port, 1000, DIAL_BATCH);
  const thousandKib = await settledKib(pid, trimSignal);
  const rest = await hold(port, MANY_CLIENTS - 1000, DIAL_BATCH);
  const manyKib = await settledKib(pid, trimSignal);
  const fromCpuMs = cpuMs(pid);
  await delay(5000);
  const idleCpuMs = cpuMs(pid) - fromCpuMs;
  end(pid);
  for (const socket of [...thousand, ...rest]) socket.resetAndDestroy();
  return {
    'idle, KiB per connection at 1,000': (thousandKib - emptyKib) / 1000,
    [`idle, KiB per connection at ${MANY}`]: (manyKib - emptyKib) / MANY_CLIENTS,
    [`idle, MiB of the process at ${MANY}`]: manyKib / 1024,
    [`idle, % of a core at ${MANY}`]: idleCpuMs / 50,
  };
}

async function storm({ pid, ports }: Contender): Promise<Figures> {
  const before = await hold(ports.stream, MANY_CLIENTS, DIAL_BATCH);
  for (const socket of before) socket.resetAndDestroy();
  const fromMs = monotonicMs();
  const fromCpuMs = cpuMs(pid.stream);
  const after = await hold(ports.stream, MANY_CLIENTS, MANY_CLIENTS);
  const servedMs = monotonicMs() - fromMs;
  const usedMs = cpuMs(pid.stream) - fromCpuMs;
  for (const socket of after) socket.resetAndDestroy();
  await delay(500);
  return { [`storm of ${MANY}, ms until all are served`]: servedMs, [`storm of ${MANY}, CPU ms`]: usedMs };
}

/** `core` is where the load comes from. */
export function measures(core: number): readonly Measure[] {
  return [
    { name: 'down', take: (contender) => bulk(contender, 'down') },
    { name: 'up', take: (contender) => bulk(contender, 'up') },
    { name: 'connections', take: (contender) => newConnections(core, contender, 'http') },
    { name: 'tls', take: (contender) => newConnections(core, contender, 'https') },
    { name: 'latency', take: (contender) => keptAlive(core, contender) },
    { name: 'storm', take: storm },
    { name: 'idle', take: idleMemory },
  ];
}
