/** The stand-in API server of one host, as the tests hold it. */
import { join } from 'node:path';

import type { Certificate } from './certificates.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';

export const API_SERVER_PORT = 6443;

export type ApiServerTask = Certificate & { readonly node: string; readonly port: number };

export type HealthOrder = { readonly isHealthy: boolean; readonly isReady: boolean };

export class ApiServer {
  readonly #host: Host;
  readonly #certificate: Certificate;
  #process: LabProcess | null = null;

  constructor(host: Host, certificate: Certificate) {
    this.#host = host;
    this.#certificate = certificate;
  }

  /** Starts the server when it does not run, healthy, and waits until it listens. */
  async start(): Promise<void> {
    if (this.#process !== null && this.#process.exit === null) return;
    const task: ApiServerTask = { node: this.#host.name, port: API_SERVER_PORT, ...this.#certificate };
    let isReady = false;
    const started = this.#host.spawn({
      command: [process.execPath, join(import.meta.dirname, 'apiserver-process.ts'), JSON.stringify(task)],
      ipc: true,
      onLine: () => (isReady = true),
    });
    this.#process = started;
    const what = `the API server of ${this.#host.name}`;
    await eventually(() => isReady, { what, otherwise: () => started.stderr });
  }

  /** From now on the health paths answer 500, as when etcd is lost; all else goes on. */
  fail(): void {
    this.#order({ isHealthy: false, isReady: false });
  }

  /** From now on /readyz alone answers 500, as during --shutdown-delay-duration. */
  announceStop(): void {
    this.#order({ isHealthy: true, isReady: false });
  }

  recover(): void {
    this.#order({ isHealthy: true, isReady: true });
  }

  /** Kills the server with -9: connections are reset and new ones refused. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** The server hangs: the kernel accepts connections, and nothing ever answers. */
  freeze(): void {
    this.#running.signal('SIGSTOP');
  }

  thaw(): void {
    this.#running.signal('SIGCONT');
  }

  #order(order: HealthOrder): void {
    if (this.#running.exit === null) this.#running.send(order);
  }

  get #running(): LabProcess {
    if (this.#process === null) throw new Error(`the API server of ${this.#host.name} has not been started`);
    return this.#process;
  }
}
