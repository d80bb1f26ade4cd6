/** Writes down what an operator, a neighbor and a client could notice: log lines, the VIP, and what is said of it. */
import type { Cluster, ClusterWatcher, Transition } from '../simulator/cluster.ts';
import type { Host } from '../simulator/host.ts';
import type { RemovedBy } from '../simulator/kernel.ts';
import type { Frame } from '../simulator/link.ts';

const REMOVED: Readonly<Record<RemovedBy, string>> = {
  daemon: 'removes the VIP',
  expiry: "loses the VIP: the kernel's lease has run out",
  somebody: 'loses the VIP: another program has removed it',
};

type Entry = {
  readonly atMs: number;
  readonly name: string;
  readonly text: string;
  untilMs: number;
  times: number;
};

export class Recorder implements ClusterWatcher {
  readonly #cluster: Cluster;
  #entries: Entry[] = [];
  /** What each Active advertised last in this term, by the node's name. */
  readonly #advertised = new Map<string, string>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.watch(this);
  }

  logged(host: Host, level: string, text: string): void {
    this.#note(host, `${level}: ${text}`);
  }

  /** An advertisement is worth a line when it differs from the one before. */
  sent(host: Host, frame: Frame): void {
    if (frame.kind === 'announcement') {
      this.#note(host, 'announces the VIP');
      return;
    }
    const { name } = host.setup;
    const text = describeAdvertisement(frame.message);
    if (this.#advertised.get(name) === text) return;
    this.#advertised.set(name, text);
    this.#note(host, text);
  }

  moved({ host, to }: Transition): void {
    if (to !== 'Active') this.#advertised.delete(host.setup.name);
  }

  bound(host: Host): void {
    this.#note(host, 'binds the VIP');
  }

  removed(host: Host, by: RemovedBy): void {
    this.#note(host, REMOVED[by]);
  }

  /** A line for each node: its state, health and priority, and whether its kernel has the VIP. */
  describe(): void {
    for (const host of this.#cluster.hosts) {
      const { daemon, kernel } = host;
      const state =
        daemon === null ? 'not running' : `${daemon.core.stateName}, priority ${daemon.core.priority}`;
      const heard = daemon?.core.heardActive?.address.text;
      this.#note(
        host,
        [
          state,
          ...(heard === undefined ? [] : [`follows ${heard}`]),
          ...(kernel.bound ? ['has the VIP'] : []),
        ].join(', '),
      );
    }
  }

  /** The lines since it was last called; several of one text in a row are one. */
  take(): string[] {
    const lines = this.#entries.map(({ atMs, name, text, untilMs, times }) => {
      const more = times === 1 ? '' : ` (${times} times until ${seconds(untilMs)})`;
      return `${seconds(atMs).padStart(9)}  ${name}  ${text}${more}`;
    });
    this.#entries = [];
    return lines;
  }

  #note(host: Host, text: string): void {
    const { nowMs: atMs } = this.#cluster;
    const { name } = host.setup;
    const last = this.#entries.at(-1);
    if (last?.name === name && last.text === text) {
      last.times += 1;
      last.untilMs = atMs;
      return;
    }
    this.#entries.push({ atMs, name, text, untilMs: atMs, times: 1 });
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(4)} s`;
}

/** RFC 9568 5.2: the priority is octet 2, the interval the last 12 bits of octets 4 and 5, in centiseconds. */
function describeAdvertisement(message: Uint8Array): string {
  const intervalMs = (((message[4]! & 0x0f) << 8) | message[5]!) * 10;
  return `advertises priority ${message[2]!} every ${intervalMs} ms`;
}
