/** Who follows a plot without faults, and what they insist on. */
import { isBestAhead } from './bounds.ts';
import type { Cluster, ClusterWatcher, Transition } from './cluster.ts';
import type { Host } from './host.ts';

/** What a host's router would advertise. */
export function priorityOf({ daemon }: Host): number {
  return daemon?.core.priority ?? 0;
}

/** Who should take over, of these: the one with the highest priority. */
export function bestOf(hosts: readonly Host[]): Host {
  return hosts.reduce((best, host) => (priorityOf(host) > priorityOf(best) ? host : best));
}

/** At no moment is the VIP bound nowhere. */
export class NoGap implements ClusterWatcher {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  changed(): void {
    if (this.#cluster.hosts.some(({ kernel }) => kernel.bound)) return;
    this.#cluster.fail('no-gap', 'no kernel has the VIP, though nobody was lost');
  }
}

/** Nobody becomes or ceases to be Active. */
export class NoMove implements ClusterWatcher {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  moved({ host, to, cause }: Transition): void {
    const text = `${host.setup.name} became ${to}, though every API server failed: ${cause.text}`;
    this.#cluster.fail('outage-moves-nothing', text);
  }
}

/** The successors that come forward when an Active is lost, or resigns. */
export class Succession implements ClusterWatcher {
  readonly #cluster: Cluster;
  readonly #lost: Host;
  readonly #best: Host;
  readonly #isAlone: boolean;
  readonly #successors: Host[] = [];

  constructor(cluster: Cluster, lost: Host, backups: readonly Host[]) {
    const { scenario } = cluster;
    this.#cluster = cluster;
    this.#lost = lost;
    this.#best = bestOf(backups);
    this.#isAlone = isBestAhead(scenario, backups.map(priorityOf), scenario.longestIntervalMs);
  }

  moved({ host, to }: Transition): void {
    if (to === 'Active' && host !== this.#lost) this.#successors.push(host);
  }

  /** By now there is one; and only the best, where it is far enough ahead of the others. */
  check(when: string): void {
    const cluster = this.#cluster;
    const successors = this.#successors;
    const best = this.#best;
    if (successors.length === 0) cluster.fail('successor-in-time', `nobody had taken over ${when}`);
    if (!this.#isAlone || (successors.length === 1 && successors[0] === best)) return;
    const names = successors.map(({ setup }) => setup.name).join(', ');
    cluster.fail(
      'one-successor',
      `${best.setup.name} alone should have taken over, but ${names} did, ${when}`,
    );
  }
}
