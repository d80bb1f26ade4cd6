/** Holds the kernel's configuration lock (rtnl), which all network namespaces of the machine share. */
import { monotonicMs } from '../../src/runtime/clock.ts';
import { type Host, ipBatch } from './host.ts';
import type { Lab } from './lab.ts';

const GROUP = 7;
/** Removing so many pairs of links at once holds the lock for about a second on two cores. */
const LINKS = 1500;

/** Links in a namespace that no daemon runs in, which are there to be removed. */
export class LockHolder {
  readonly #host: Host;

  constructor(lab: Lab) {
    this.#host = lab.client;
  }

  /** Makes the links; their removal holds the lock. */
  async prepare(links = LINKS): Promise<void> {
    const commands = Array.from(
      { length: links },
      (_, n) => `link add lock${n} group ${GROUP} type veth peer name peer${n}`,
    );
    await ipBatch(this.#host.namespace, commands);
  }

  /** Removes the links in one request of the kernel, and returns how long that took, ms. */
  async hold(): Promise<number> {
    const fromMs = monotonicMs();
    await this.#host.ip(`link del group ${GROUP}`);
    return monotonicMs() - fromMs;
  }
}
