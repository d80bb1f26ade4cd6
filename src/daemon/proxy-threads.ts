/** The main thread's end of the proxy threads. */
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { IpAddress } from '../ip/address.ts';
import type { Log } from '../log/log.ts';
import { THREAD_PROXY } from '../runtime/thread-vitals.ts';
import { LINGER_MAX_MS } from '../proxy/lingering.ts';
import type { ProxyCommand, ProxyEvent, ProxyWorkerData } from '../proxy/driver/messages.ts';
import { ended, startThread } from './threads.ts';

/** For a busy thread to get to it; a second node may have the address already. */
const CLOSE_VIP_TIMEOUT_MS = 50;
/** The same when that node knows that this one is not through: a client is reset only while the address is here. */
export const HANDED_OVER_TIMEOUT_MS = LINGER_MAX_MS + 250;
/** Beyond the grace that connections get. */
const STOP_TIMEOUT_MS = 2000;

export type ProxyThreadsOptions = {
  readonly count: number;
  readonly data: ProxyWorkerData;
  readonly vitals: SharedArrayBuffer;
  readonly log: Log;
  /** A thread has ended by itself, or has lost its listener; the reason is one sentence. Called once. */
  readonly onExit: (reason: string) => void;
};

export class ProxyThreads {
  readonly #workers: readonly Worker[];
  readonly #options: ProxyThreadsOptions;
  #isStopping = false;
  /** Of `closeVip`: a late answer to the one before must not end the wait for the next. */
  #lastRequest = 0;
  /** The services thread's ends of the channels between it and each proxy thread. */
  readonly servicesPorts: readonly MessagePort[];

  private constructor(options: ProxyThreadsOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.count }, (_, index) =>
      startThread('../proxy/driver/worker', `proxy${index}`, {
        ...options.data,
        vitals: { buffer: options.vitals, thread: THREAD_PROXY + index },
      } satisfies ProxyWorkerData),
    );
    this.servicesPorts = this.#workers.map((worker) => {
      const { port1, port2 } = new MessageChannel();
      worker.postMessage({ type: 'servicesPort', port: port2 } satisfies ProxyCommand, [port2]);
      return port1;
    });
  }

  /** Resolves when every thread listens; rejects with one sentence when one cannot. */
  static async start(options: ProxyThreadsOptions): Promise<ProxyThreads> {
    const threads = new ProxyThreads(options);
    try {
      await Promise.all(threads.#workers.map((worker, index) => threads.#listening(worker, index)));
    } catch (error) {
      // The others would go on to listen, beside those of the next try.
      await threads.stop(0);
      throw error;
    }
    return threads;
  }

  /**
   * Resets the connections on an address that is about to go, while the kernel can still send the RST from it; with
   * `handedOver` those that are being used are finished first, within LINGER_MAX_MS. Resolves when that is done, or
   * when a thread is too busy to do it soon.
   */
  async closeVip(vip: IpAddress, handedOver: boolean): Promise<void> {
    this.#lastRequest += 1;
    const request = this.#lastRequest;
    const timeoutMs = handedOver ? HANDED_OVER_TIMEOUT_MS : CLOSE_VIP_TIMEOUT_MS;
    const closed = this.#workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer);
            worker.off('message', onMessage);
            resolve();
          };
          const onMessage = (event: ProxyEvent): void => {
            if (event.type === 'vipClosed' && event.request === request) done();
          };
          const timer = setTimeout(done, timeoutMs);
          worker.on('message', onMessage);
        }),
    );
    this.#command({ type: 'closeVip', request, address: vip.text, handedOver });
    await Promise.all(closed);
  }

  /**
   * Stops accepting, lets connections finish for `graceMs`, then resets them. A thread that hangs is ended by force.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#command({ type: 'stop', graceMs });
    await Promise.all(this.#workers.map((worker) => ended(worker, graceMs + STOP_TIMEOUT_MS)));
  }

  #command(command: ProxyCommand): void {
    for (const worker of this.#workers) worker.postMessage(command);
  }

  #listening(worker: Worker, index: number): Promise<void> {
    return new Promise((resolve, reject) => {
      worker.on('message', (event: ProxyEvent) => {
        if (event.type === 'listening') resolve();
        else if (event.type === 'listenFailed') {
          this.#isStopping = true;
          reject(new Error(event.message));
        } else if (event.type === 'listenerLost')
          this.#onDeath(`proxy thread ${index}: ${event.reason}`, reject);
        else if (event.type === 'log') this.#options.log(event.level, event.message, event.fields);
      });
      worker.on('error', (error: Error) =>
        this.#onDeath(`proxy thread ${index} failed: ${error.message}`, reject),
      );
      worker.on('exit', (code) => this.#onDeath(`proxy thread ${index} ended with code ${code}`, reject));
    });
  }

  #onDeath(reason: string, reject: (error: Error) => void): void {
    reject(new Error(reason));
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#options.onExit(reason);
  }
}
