/** `kubectl get --watch` through the VIP, begun anew whenever it ends, and whether it still hears of changes. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from '../kit/eventually.ts';
import { LabProcess } from '../kit/lab-process.ts';
import type { Kubectl } from './kubectl.ts';
import { SETTLED_MS } from './settled.ts';

const NAMESPACE = 'kube-system';
const NAME = 'kube-vrrp-e2e';
const OBJECT = ['--namespace', NAMESPACE, 'configmap', NAME];
const RESTART_MS = 100;
/**
 * HTTP/2's own check, which finds a connection that nobody resets, takes 45 s: that long nobody should have to wait.
 */
const HEARD_MS = 30_000;

/** Of the object, in whatever version the API server's watch cache has it. */
export const CACHED_PATH = `/api/v1/namespaces/${NAMESPACE}/configmaps/${NAME}?resourceVersion=0`;

/** Of a watch of the object, as it is now and with its changes, for so long. */
export function watchPath(seconds: number): string {
  const query = `watch=1&resourceVersion=0&timeoutSeconds=${seconds}&fieldSelector=metadata.name%3D${NAME}`;
  return `/api/v1/namespaces/${NAMESPACE}/configmaps?${query}`;
}

/** The object has got `value` at `atMs` (monotonicMs). */
export type Change = { readonly value: string; readonly atMs: number };

export class KubectlWatch {
  readonly #kubectl: Kubectl;
  /** By value, monotonicMs. */
  readonly #heard = new Map<string, number>();
  #process: LabProcess | null = null;
  #isStopped = false;
  #restarts = 0;
  #begunAtMs = 0;

  private constructor(kubectl: Kubectl) {
    this.#kubectl = kubectl;
  }

  /** Makes the object that is watched, and watches it. */
  static async start(kubectl: Kubectl): Promise<KubectlWatch> {
    await eventually(
      async () => {
        await kubectl.run('delete', ...OBJECT, '--ignore-not-found');
        return kubectl.run('create', ...OBJECT, '--from-literal=value=first');
      },
      { what: 'an object to watch to be made through the VIP', deadlineMs: SETTLED_MS },
    );
    const watch = new KubectlWatch(kubectl);
    void watch.#watchForEver();
    return watch;
  }

  /** Gives the object another value. */
  async change(): Promise<Change> {
    const value = randomUUID();
    const patch = JSON.stringify({ data: { value } });
    await eventually(
      async () => {
        await this.#kubectl.run('patch', ...OBJECT, '--type=merge', `--patch=${patch}`);
        return true;
      },
      { what: 'a change through the VIP', deadlineMs: SETTLED_MS },
    );
    return { value, atMs: monotonicMs() };
  }

  /** Waits until the watch has told of the latest change. Returns how long after it that was, ms. */
  async hears({ value, atMs }: Change): Promise<number> {
    const heardAtMs = await eventually(() => this.#heard.get(value) ?? null, {
      what: 'kubectl get --watch to tell of a change',
      deadlineMs: HEARD_MS,
      otherwise: () => {
        const agoMs = monotonicMs() - this.#begunAtMs;
        return `begun anew ${this.#restarts} times, the last time ${agoMs.toFixed(0)} ms ago\n${this.#process?.stderr ?? ''}`;
      },
    });
    this.#heard.clear();
    return Math.max(0, heardAtMs - atMs);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#process?.kill();
  }

  async #watchForEver(): Promise<void> {
    while (!this.#isStopped) {
      const process = new LabProcess({
        namespace: null,
        command: this.#kubectl.command('get', ...OBJECT, '--watch', '--output=jsonpath={.data.value}{"\\n"}'),
        onLine: (line) => this.#heard.set(line, monotonicMs()),
      });
      this.#process = process;
      this.#begunAtMs = monotonicMs();
      await process.exited;
      this.#restarts += 1;
      await delay(RESTART_MS);
    }
  }
}
