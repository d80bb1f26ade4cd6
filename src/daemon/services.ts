/** The main thread's end of the services thread. Posting never blocks, and what waits there is bounded. */
import type { MessagePort, Worker } from 'node:worker_threads';
import type { Credentials } from '../health/credentials.ts';
import type { IpAddress } from '../ip/address.ts';
import type { LogFields, LogLevel } from '../log/log.ts';
import type {
  BackendAddress,
  ElectionSnapshot,
  FromServices,
  ServicesWorkerData,
  ToServices,
} from './messages.ts';
import { ended, startThread } from './threads.ts';

/** If the services thread hangs, this many messages wait for it; later ones are dropped and counted. */
const MAX_WAITING = 1000;
const STOP_TIMEOUT_MS = 2000;
/** A thread that is too busy must not keep the VIP from a healthy node. */
const PREPARE_TIMEOUT_MS = 400;

/** Where this node stands. */
export type NodeFacts = { readonly self: IpAddress; readonly interfaceName: string };

export type ServicesEvents = {
  readonly onMessage: (message: FromServices) => void;
  /** The thread died without being asked to. */
  readonly onExit: (reason: string) => void;
};

export class Services {
  readonly #worker: Worker;
  readonly #handled: Int32Array;
  #posted = 0;
  #dropped = 0;
  #isStopping = false;

  constructor(data: ServicesWorkerData, events: ServicesEvents) {
    this.#handled = new Int32Array(data.handled);
    this.#worker = startThread('services-thread', 'services', data);
    this.#worker.on('message', events.onMessage);
    this.#worker.on('error', (error: Error) => events.onExit(`the services thread failed: ${error.message}`));
    this.#worker.on('exit', (code) => {
      if (!this.#isStopping) events.onExit(`the services thread ended with code ${code}`);
    });
  }

  readonly log = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    this.#post({ type: 'log', record: { level, message, fields, timeMs: Date.now() } });
  };

  election(snapshot: ElectionSnapshot): void {
    this.#post({ type: 'election', snapshot });
  }

  /** Logs from this level on, reads the certificates again, and logs `text` with what that brought. */
  reload(logLevel: LogLevel, text: string): void {
    this.#post({ type: 'reload', logLevel, text });
  }

  /** Writes one line about the state of the daemon to the log. */
  logState(): void {
    this.#post({ type: 'logState' });
  }

  start(
    node: NodeFacts,
    backends: readonly BackendAddress[],
    credentials: Credentials,
    proxyPorts: readonly MessagePort[],
  ): void {
    this.#posted += 1;
    const message: ToServices = { type: 'start', ...node, backends, credentials, proxyPorts };
    this.#worker.postMessage(message, [...proxyPorts]);
  }

  /** Resolves when peers are prepared to take the VIP over, or soon. Never rejects. */
  async prepareHandover(): Promise<void> {
    const prepared = new Promise<void>((resolve) => {
      const onMessage = (message: FromServices): void => {
        if (message.type === 'handoverPrepared') done();
      };
      const done = (): void => {
        clearTimeout(timer);
        this.#worker.off('message', onMessage);
        resolve();
      };
      const timer = setTimeout(done, PREPARE_TIMEOUT_MS);
      this.#worker.on('message', onMessage);
    });
    this.#post({ type: 'prepareHandover' });
    await prepared;
  }

  /** Ends the thread after it has written out the log; by force when it does not answer. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#worker.postMessage({ type: 'stop' } satisfies ToServices);
    await ended(this.#worker, STOP_TIMEOUT_MS);
  }

  #post(message: ToServices): void {
    // 32-bit wrap-around cancels out in the difference.
    const waiting = (this.#posted - Atomics.load(this.#handled, 0)) | 0;
    if (waiting >= MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) this.#reportDropped();
    this.#posted += 1;
    this.#worker.postMessage(message);
  }

  #reportDropped(): void {
    const message = `${this.#dropped} messages to the services thread were dropped while it was busy`;
    this.#dropped = 0;
    this.#posted += 1;
    const record = { level: 'warn', message, fields: { event: 'dropped' }, timeMs: Date.now() } as const;
    this.#worker.postMessage({ type: 'log', record } satisfies ToServices);
  }
}
