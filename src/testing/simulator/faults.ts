/** What goes wrong: one fault after another, from a stream of chance of its own, until `stop` makes everything well. */
import type { PreemptMode, VirtualRouterOptions } from '../../vrrp/events.ts';
import { LEASE_SECONDS } from '../../vrrp/lease.ts';
import type { Cluster } from './cluster.ts';
import type { Daemon } from './daemon.ts';
import type { ApiState } from './health.ts';
import type { Host } from './host.ts';
import type { LinkQuality } from './link.ts';
import type { Random } from './random.ts';

const FAULTS = [
  'partition',
  'oneWay',
  'degrade',
  'pause',
  'kill',
  'cut',
  'refuse',
  'sockets',
  'lock',
  'answers',
  'link',
  'remove',
  'api',
  'allApis',
  'blind',
  'drain',
  'undrain',
  'stop',
] as const;

type Fault = (typeof FAULTS)[number];

/** Between faults, in advertisement intervals, as a mean of one round. */
const MEAN_GAP = { low: 3, high: 25 };
const MAX_LOSS_RATE = 0.4;
const MAX_LATE_ANSWER_MS = 3000;

export class Faults {
  readonly #cluster: Cluster;
  readonly #random: Random;
  /** Each round has faults of some kinds only: what hides behind others can come out. */
  readonly #kinds: readonly Fault[];
  readonly #meanGapMs: number;
  #isOver = false;
  readonly #effects: Readonly<Record<Fault, () => void>> = {
    partition: () => this.#partition(),
    oneWay: () => this.#oneWay(),
    degrade: () => this.#degrade(),
    pause: () => this.#pause(),
    kill: () => this.#kill(),
    cut: () => this.#cut(),
    refuse: () => this.#refuse(),
    sockets: () => this.#sockets(),
    lock: () => this.#lock(),
    answers: () => this.#answers(),
    link: () => this.#link(),
    remove: () => this.#remove(),
    api: () => this.#api(),
    allApis: () => this.#allApis(),
    blind: () => this.#blind(),
    drain: () => this.#target().daemon?.give({ type: 'drain', force: this.#random.chance(0.2) }),
    undrain: () => this.#target().daemon?.give({ type: 'undrain' }),
    stop: () => this.#stopOne(),
  };

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    this.#kinds = random.shuffle(FAULTS).slice(0, random.integer(1, FAULTS.length));
    this.#meanGapMs = random.between(MEAN_GAP.low, MEAN_GAP.high) * cluster.scenario.intervalMs;
  }

  begin(): void {
    this.#next();
  }

  /** Everything is made well, but some hosts, API servers and links may be lost for good: such is life. */
  stop(): void {
    const cluster = this.#cluster;
    const random = this.#random;
    this.#isOver = true;
    cluster.link.unblockAll();
    cluster.link.quality = cluster.scenario.quality;
    if (random.chance(0.25)) splitSegment(cluster, random);
    for (const host of cluster.hosts) {
      host.kernel.refuses = false;
      host.refusesSockets = false;
      host.lateAnswersMs = 0;
      host.kernel.free();
      if (host.isBlind && random.chance(0.7)) this.#cluster.setBlind(host, false);
      if (host.api !== 'up') host.api = random.chance(0.7) ? 'up' : 'failing';
      if (random.chance(0.9)) host.setCarrier(true);
      if (random.chance(0.6)) host.daemon?.give({ type: 'undrain' });
    }
    for (const host of cluster.hosts) cluster.resume(host);
    for (const host of cluster.hosts) {
      if (host.daemon === null && random.chance(0.85)) cluster.start(host);
    }
  }

  #next(): void {
    this.#cluster.schedule.after(this.#random.exponential(this.#meanGapMs), {
      run: () => {
        if (this.#isOver) return;
        this.#effects[this.#random.pick(this.#kinds)]();
        this.#next();
      },
    });
  }

  /** Any host, or as often as not the one that has most to lose. */
  #target(): Host {
    const cluster = this.#cluster;
    const random = this.#random;
    const actives = cluster.hosts.filter((host) => cluster.isActive(host));
    return random.pick(actives.length > 0 && random.chance(0.5) ? actives : cluster.hosts);
  }

  /** From a moment to several Active_Down_Intervals; now and then longer than a lease. */
  #durationMs(): number {
    const random = this.#random;
    const { longestIntervalMs, healthTimes } = this.#cluster.scenario;
    return random.pick([
      random.between(2, 5) * healthTimes.intervalMs,
      random.exponential(longestIntervalMs / 2),
      random.between(2.5, 4.5) * longestIntervalMs,
      random.exponential(10 * longestIntervalMs),
      random.between(0.8, 3) * LEASE_SECONDS * 1000,
    ]);
  }

  #afterwards(undo: () => void): void {
    const run = (): void => {
      if (!this.#isOver) undo();
    };
    this.#cluster.schedule.after(this.#durationMs(), { run });
  }

  #block(pairs: readonly (readonly [number, number])[]): void {
    const { link } = this.#cluster;
    for (const [from, to] of pairs) link.block(from, to, 1);
    this.#afterwards(() => {
      this.#cluster.note(null, 'a partition ends');
      for (const [from, to] of pairs) link.block(from, to, -1);
    });
  }

  /** Hosts apart from the others, both ways or one way. */
  #partition(): void {
    const random = this.#random;
    const isApart = this.#cluster.hosts.map(() => random.chance(0.5));
    const isOneWay = random.chance(0.3);
    const pairs: (readonly [number, number])[] = [];
    for (const [from, fromApart] of isApart.entries()) {
      for (const [to, toApart] of isApart.entries()) {
        if (fromApart && !toApart) pairs.push([from, to]);
        if (!fromApart && toApart && !isOneWay) pairs.push([from, to]);
      }
    }
    const names = this.#cluster.hosts.filter((_, index) => isApart[index]).map(({ setup }) => setup.name);
    this.#cluster.note(null, `${names.join(', ')} cut off${isOneWay ? ', outgoing only' : ''}`);
    this.#block(pairs);
  }

  #oneWay(): void {
    const from = this.#target();
    const to = this.#random.pick(this.#cluster.hosts);
    if (from === to) return;
    this.#cluster.note(from, `nothing gets through to ${to.setup.name}`);
    this.#block([[from.setup.index, to.setup.index]]);
  }

  #degrade(): void {
    const cluster = this.#cluster;
    const random = this.#random;
    const rate = (most: number): number => (random.chance(0.5) ? random.between(0, most) : 0);
    const intervalMs = cluster.scenario.longestIntervalMs;
    const quality: LinkQuality = {
      delayMs: cluster.scenario.quality.delayMs + rate(0.5 * intervalMs),
      jitterMs: cluster.scenario.quality.jitterMs + rate(intervalMs),
      lossRate: rate(MAX_LOSS_RATE),
      duplicateRate: rate(0.3),
      reorderRate: rate(0.3),
      heldBackMs: 4 * intervalMs,
      flipRate: rate(0.3),
    };
    cluster.link.quality = quality;
    cluster.note(null, `the link gets worse: ${JSON.stringify(quality)}`);
    this.#afterwards(() => {
      cluster.note(null, 'the link is well');
      cluster.link.quality = cluster.scenario.quality;
    });
  }

  #pause(): void {
    const host = this.#target();
    const { daemon } = host;
    if (daemon === null || !daemon.isAwake) return;
    this.#cluster.pause(host);
    this.#afterwards(() => daemon.resume());
  }

  #kill(): void {
    const host = this.#target();
    if (host.daemon === null) return;
    this.#cluster.kill(host);
    if (this.#random.chance(0.8)) this.#afterwards(() => this.#cluster.start(host));
  }

  #cut(): void {
    const cluster = this.#cluster;
    const host = this.#target();
    cluster.note(host, 'no carrier');
    host.setCarrier(false);
    this.#afterwards(() => {
      cluster.note(host, 'carrier');
      host.setCarrier(true);
    });
  }

  #refuse(): void {
    const host = this.#target();
    this.#cluster.note(host, 'the kernel refuses to bind');
    host.kernel.refuses = true;
    this.#afterwards(() => {
      host.kernel.refuses = false;
    });
  }

  /** Another program holds the lock of the kernel's network configuration: every call waits. */
  #lock(): void {
    const host = this.#target();
    const durationMs = this.#durationMs();
    this.#cluster.note(host, `the kernel's configuration is locked for ${durationMs.toFixed(0)} ms`);
    host.kernel.hold(durationMs);
  }

  /** The network thread gets no processor to report what it has done. */
  #answers(): void {
    const host = this.#target();
    host.lateAnswersMs = Math.min(this.#durationMs(), MAX_LATE_ANSWER_MS);
    this.#cluster.note(host, `answers of the kernel are up to ${host.lateAnswersMs.toFixed(0)} ms late`);
    this.#afterwards(() => {
      host.lateAnswersMs = 0;
    });
  }

  /** Sockets fail under the router, or the kernel has no room for what it sends; none can be opened for a while. */
  #sockets(): void {
    const cluster = this.#cluster;
    const random = this.#random;
    const host = this.#target();
    cluster.note(host, 'the kernel has no buffers for sockets');
    host.refusesSockets = random.chance(0.7);
    if (random.chance(0.7)) host.daemon?.failSockets();
    this.#afterwards(() => {
      host.refusesSockets = false;
    });
  }

  /** As a bond does that has lost a port, or an administrator who renames an interface. */
  #link(): void {
    const cluster = this.#cluster;
    const random = this.#random;
    const host = this.#target();
    const number = random.integer(0, 99);
    const mac = Uint8Array.of(2, 0, 0, 0, number, host.setup.index + 1);
    cluster.note(host, 'the interface changes');
    host.changeLink(random.pick([{ name: `eth${number}` }, { mac }]));
  }

  /** Somebody removes the address, once or several times. */
  #remove(): void {
    const host = this.#target();
    for (let times = this.#random.pick([1, 1, 2, 6]); times > 0; times -= 1) {
      this.#cluster.schedule.after(this.#random.between(0, 20) * times, {
        run: () => {
          if (!this.#isOver) host.kernel.change(() => host.kernel.remove('somebody'));
        },
      });
    }
  }

  #api(): void {
    const host = this.#target();
    this.#cluster.setApi(host, this.#random.pick(['failing', 'hung']));
    this.#afterwards(() => this.#cluster.setApi(host, 'up'));
  }

  #blind(): void {
    const host = this.#target();
    this.#cluster.setBlind(host, true);
    this.#afterwards(() => this.#cluster.setBlind(host, false));
  }

  #allApis(): void {
    const state = this.#random.pick<ApiState>(['failing', 'hung']);
    for (const host of this.#cluster.hosts) this.#cluster.setApi(host, state);
    this.#afterwards(() => {
      for (const host of this.#cluster.hosts) this.#cluster.setApi(host, 'up');
    });
  }

  /** A graceful stop; the program comes back, perhaps with another configuration. */
  #stopOne(): void {
    const cluster = this.#cluster;
    const random = this.#random;
    const host = this.#target();
    const { daemon } = host;
    if (daemon === null) return;
    cluster.stop(host, random.chance(0.7));
    if (random.chance(0.3)) this.#disturbStop(host, daemon);
    const options = random.chance(0.3) ? this.#reconfigured(daemon.options) : daemon.options;
    if (random.chance(0.8)) this.#afterwards(() => cluster.start(host, options));
  }

  /** While it waits for its successor it is drained, or its address cannot be kept. */
  #disturbStop(host: Host, daemon: Daemon): void {
    const cluster = this.#cluster;
    const random = this.#random;
    const disturb = random.pick([
      () => daemon.give({ type: 'drain', force: random.chance(0.2) }),
      () => host.kernel.change(() => host.kernel.remove('somebody')),
    ]);
    for (let times = random.integer(1, 5); times > 0; times -= 1) {
      cluster.schedule.after(random.between(0, cluster.scenario.longestIntervalMs), { run: disturb });
    }
  }

  /**
   * Another node's interval or priorities, or another mode: a change of configuration reaches one node after the other.
   */
  #reconfigured(options: VirtualRouterOptions): VirtualRouterOptions {
    const random = this.#random;
    const { advertisementIntervalMs, priorities } = random.pick(this.#cluster.scenario.nodes).options;
    const preempt = random.pick<PreemptMode>(['never', 'unhealthy', 'always']);
    return { ...options, ...random.pick([{ advertisementIntervalMs }, { priorities }, { preempt }]) };
  }
}

/** Two parts that do not hear each other, until somebody unblocks the link. */
export function splitSegment(cluster: Cluster, random: Random): void {
  const isApart = cluster.hosts.map(() => random.chance(0.5));
  for (const [from, fromApart] of isApart.entries()) {
    for (const [to, toApart] of isApart.entries()) {
      if (fromApart !== toApart) cluster.link.block(from, to, 1);
    }
  }
  const names = cluster.hosts.filter((_, index) => isApart[index]).map(({ setup }) => setup.name);
  cluster.note(null, `${names.join(', ') || 'nobody'} cut off`);
}
