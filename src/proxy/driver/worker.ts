/** Entry of a proxy thread: connects a TcpProxy with the threads that command it. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { beat } from '../../net/thread-vitals.ts';
import type { LogFields, LogLevel } from '../../log/log.ts';
import type { ProxyCommand, ProxyEvent, ProxyWorkerData } from './messages.ts';
import { ListenError, TcpProxy } from './tcp-proxy.ts';

/** Descriptors left for everything that is not a client or its backend connection. */
const RESERVED_FILES = 256;
const FILES_PER_CLIENT = 2;
const MIN_CLIENTS = 16;
/** Bounds memory where the file limit is a million: at worst some hundred KiB of buffers for each stalled client. */
const MAX_CLIENTS = 65_536;
/** How late others may learn of a connection: peers are told which clients to reset should this node be lost. */
const REPORT_INTERVAL_MS = 20;

class ProxyWorker {
  readonly #main: MessagePort;
  readonly #proxy: TcpProxy;
  #services: MessagePort | null = null;
  #started: Promise<void> = Promise.resolve();
  #stopping = false;
  /** A batch is on its way: what changes meanwhile waits here, where it is bounded. */
  #reporting = false;
  readonly #reports: NodeJS.Timeout;

  constructor(main: MessagePort, data: ProxyWorkerData) {
    this.#main = main;
    this.#proxy = new TcpProxy({
      port: data.port,
      backends: data.backends,
      connectTimeoutMs: data.connectTimeoutMs,
      reusePort: data.reusePort,
      counters: data.counters,
      maxClients: clientLimit(),
      debug: data.debug ?? false,
      log: (level, message, fields) => this.#log(level, message, fields),
    });
    if (data.vitals !== undefined) beat(data.vitals.buffer, data.vitals.thread);
    this.#reports = setInterval(() => this.#report(), REPORT_INTERVAL_MS);
    main.on('message', (command: ProxyCommand) => this.#command(command));
  }

  start(): Promise<void> {
    this.#started = this.#listen();
    return this.#started;
  }

  async #listen(): Promise<void> {
    try {
      await this.#proxy.listen();
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      this.#send({ type: 'listenFailed', code: error.code, message: error.message });
      this.#end();
      return;
    }
    this.#send({ type: 'listening' });
  }

  #command(command: ProxyCommand): void {
    switch (command.type) {
      case 'backends':
        this.#proxy.setBackends(command.backends);
        break;
      case 'vipRemoved':
        this.#proxy.vipRemoved(command.address);
        this.#send({ type: 'vipClosed', address: command.address });
        break;
      case 'servicesPort':
        this.#attachServices(command.port);
        break;
      case 'connectionsRead':
        this.#reporting = false;
        break;
      case 'stop':
        void this.#stop(command.graceMs);
        break;
    }
  }

  #attachServices(port: MessagePort): void {
    this.#services?.close();
    this.#services = port;
    this.#reporting = false;
    port.on('message', (command: ProxyCommand) => this.#command(command));
    port.on('close', () => {
      if (this.#services === port) this.#services = null; // logs go to the main thread again
    });
  }

  async #stop(graceMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#started;
    await this.#proxy.stop(graceMs);
    this.#send({ type: 'stopped' });
    this.#end();
  }

  #report(): void {
    if (this.#services === null || this.#reporting) return;
    const batch = this.#proxy.connections.take();
    if (batch === null) return;
    this.#reporting = true;
    post(this.#services, { type: 'connections', batch });
  }

  /** Nothing keeps the thread alive after this. */
  #end(): void {
    clearInterval(this.#reports);
    this.#services?.close();
    this.#main.close();
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    const event: ProxyEvent = { type: 'log', level, message, fields };
    post(this.#services ?? this.#main, event);
  }

  #send(event: ProxyEvent): void {
    post(this.#main, event);
  }
}

function post(port: MessagePort, event: ProxyEvent): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows, not for MessagePorts
  port.postMessage(event);
}

/** How many clients the process's limit on open files allows, over all workers. */
function clientLimit(): number {
  const files = openFilesLimit();
  const byFiles = Math.floor((files - RESERVED_FILES) / FILES_PER_CLIENT);
  return Math.min(MAX_CLIENTS, Math.max(MIN_CLIENTS, byFiles));
}

/** RLIMIT_NOFILE; Node raises the soft limit to the hard one when it starts. */
function openFilesLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? 1024);
}

if (parentPort === null) throw new Error('this module is the entry of a worker thread');
await new ProxyWorker(parentPort, workerData as ProxyWorkerData).start();
