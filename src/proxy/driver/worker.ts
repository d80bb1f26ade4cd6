/** Entry of a proxy thread: connects a TcpProxy with the threads that command it. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { LoopVitals } from '../../runtime/thread-vitals.ts';
import type { LogFields, LogLevel } from '../../log/log.ts';
import type { ProxyCommand, ProxyEvent, ProxyWorkerData } from './messages.ts';
import { type Deadline, EventLoop } from './event-loop.ts';
import { ListenError } from './listener.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** How late others may learn of a connection: peers are told which clients to reset should this node be lost. */
const REPORT_INTERVAL_MS = 20;
/** Connections in one piece of a list: a fraction of a millisecond. */
const LIST_PIECE = 256;

type CloseVip = Extract<ProxyCommand, { type: 'closeVip' }>;

class ProxyWorker {
  readonly #main: MessagePort;
  readonly #loop: EventLoop;
  readonly #proxy: TcpProxy;
  #services: MessagePort | null = null;
  #stopping = false;
  /** A batch is on its way: what changes meanwhile waits here, where it is bounded. */
  #reporting = false;
  readonly #report: Deadline;

  constructor(main: MessagePort, loop: EventLoop, data: ProxyWorkerData) {
    this.#main = main;
    this.#loop = loop;
    this.#report = loop.deadline(() => this.#sendReport());
    this.#proxy = new TcpProxy(loop, {
      port: data.port,
      backends: data.backends,
      connectTimeoutMs: data.connectTimeoutMs,
      reusePort: data.reusePort,
      counters: data.counters,
      limits: data.limits,
      admission: data.admission,
      log: (level, message, fields) => this.#log(level, message, fields),
      onListenerLost: (reason) => this.#send({ type: 'listenerLost', reason }),
      onConnections: () => this.#reportSoon(),
    });
    main.on('message', (command: ProxyCommand) => this.#command(command));
  }

  start(): void {
    try {
      this.#proxy.listen();
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
      case 'closeVip':
        void this.#closeVip(command);
        break;
      case 'listConnections':
        this.#list(command.request);
        break;
      case 'servicesPort':
        this.#attachServices(command.port);
        break;
      case 'connectionsRead':
        this.#reporting = false;
        this.#reportSoon();
        break;
      case 'stop':
        void this.#stop(command.graceMs);
        break;
    }
  }

  async #closeVip({ request, address, handedOver }: CloseVip): Promise<void> {
    if (handedOver) await this.#proxy.closeHandedOverVip(address);
    else this.#proxy.closeVip(address);
    this.#send({ type: 'vipClosed', request });
  }

  #attachServices(port: MessagePort): void {
    this.#services?.close();
    this.#services = port;
    this.#reporting = false;
    this.#reportSoon();
    port.on('message', (command: ProxyCommand) => this.#command(command));
    port.on('close', () => {
      if (this.#services === port) this.#services = null; // logs go to the main thread again
    });
  }

  async #stop(graceMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#proxy.stop(graceMs);
    this.#send({ type: 'stopped' });
    this.#end();
  }

  /** In pieces, between which clients have their turn. */
  #list(request: number): void {
    const entries = this.#proxy.connections.entries();
    this.#loop.later({
      run: () => {
        if (this.#services === null) return false;
        const connections = this.#proxy.details(entries, LIST_PIECE);
        post(this.#services, { type: 'connectionList', request, connections: connections ?? [] });
        return connections !== null;
      },
    });
  }

  #reportSoon(): void {
    if (this.#services === null || this.#reporting || this.#report.atMs !== Number.POSITIVE_INFINITY) return;
    this.#report.atMs = this.#loop.nowMs + REPORT_INTERVAL_MS;
  }

  #sendReport(): void {
    if (this.#services === null || this.#reporting) return;
    const batch = this.#proxy.connections.take();
    if (batch === null) return;
    this.#reporting = true;
    post(this.#services, { type: 'connections', batch });
  }

  /** Nothing keeps the thread alive after this. */
  #end(): void {
    this.#loop.stop();
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

/** Shows that this thread lives, and how long it keeps others waiting. */
async function startLoop(vitals: ProxyWorkerData['vitals']): Promise<EventLoop> {
  if (vitals === undefined) return EventLoop.start();
  const signs = new LoopVitals(vitals.buffer, vitals.thread);
  const loop = await EventLoop.start((durationMs) => signs.turned(durationMs));
  const beat = loop.deadline(() => {
    signs.beat();
    beat.atMs = loop.nowMs + LoopVitals.intervalMs;
  });
  beat.atMs = loop.nowMs;
  return loop;
}

if (parentPort === null) throw new Error('this module is the entry of a worker thread');
const data = workerData as ProxyWorkerData;
new ProxyWorker(parentPort, await startLoop(data.vitals), data).start();
