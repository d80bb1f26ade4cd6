/**
 * The liveness half: nothing goes wrong any more, and within a bound that is derived (bounds.ts) each component that
 * has an eligible node has exactly one Active and exactly one kernel with the VIP, and then nothing moves.
 *
 * The bound counts from the last disturbance. Disturbances are what comes to the routers from outside: links that come
 * up, programs that start or end, classes that turn when health checks have noticed what is well again, holds after
 * failed binds that run out, packets that were under way. None depends on what routers do, and all end soon.
 */
import { ANNOUNCEMENT_REFRESH_MS } from '../../vrrp/announcements.ts';
import { LEASE_RENEWAL_MS } from '../../vrrp/lease.ts';
import {
  delayMs,
  driftedMs,
  lastMoveMs,
  longestDownMs,
  oneActiveMs,
  overlapMs,
  resignationMs,
  timerMs,
} from './bounds.ts';
import { type Cluster, type ClusterWatcher, type Transition, leaseOverMs } from './cluster.ts';
import { BIND_MS, releaseMs } from './daemon.ts';
import type { Host } from './host.ts';
import { BURST_MS, GIVEN_UP, PUNCTUAL_TIMERS } from './router-checker.ts';
import type { Task } from './schedule.ts';
import { priorityOf } from './watchers.ts';

/** By then, whatever has happened: a hold of 10 s, health checks that time out some times, and what is derived. */
const MAX_SETTLING_MS = 60_000;
/** Watched for this long and two Active_Down_Intervals, after the last move. */
const WATCH_MS = 500;
/** The longest pause before a socket that failed is opened again, with room for a notification and a timer. */
const REOPENING_MS = 8100;
/** How long to wait for health checks that have not yet found out. */
const REST_MS = 100;
/** A little after a bound, because at the bound is in time. */
const INSTANT_MS = 0.001;

class Settling implements ClusterWatcher, Task {
  readonly #cluster: Cluster;
  readonly #components: readonly (readonly Host[])[];
  readonly #beganMs: number;
  #disturbedAtMs: number;
  #longestIntervalMs: number;
  /** Until that has been looked into: a preemption may be due. */
  #mayMove = true;
  #holdsEndAtMs = -Infinity;
  /** The latest time at which somebody may have been demoted: until its proxy is done it has the VIP. */
  #demotedAtMs: number;
  #promotedAtMs = -Infinity;
  #isOver = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#components = componentsOf(cluster);
    this.#beganMs = cluster.nowMs;
    this.#demotedAtMs = cluster.nowMs;
    this.#longestIntervalMs = cluster.scenario.longestIntervalMs;
    // Packets that were sent under faults may be late, and an Active that resigns takes its time.
    const resigning = cluster.hosts.some((host) => cluster.isActive(host) && priorityOf(host) === 0);
    const resignedAtMs =
      cluster.nowMs + (resigning ? resignationMs(cluster.scenario, this.#longestIntervalMs) : 0);
    const slowUntilMs = Math.max(...cluster.hosts.map(({ kernel }) => kernel.slowUntilMs));
    this.#disturbedAtMs = Math.max(resignedAtMs, cluster.link.quietAtMs, slowUntilMs + 2 * LEASE_RENEWAL_MS);
  }

  /** At the end of a moment in which two may be Active, or an address may still be bound. */
  run(): void {
    if (!this.#isOver) this.changed();
  }

  /** Lets time pass until all is quiet and has been watched. Throws CheckFailure. */
  settle(): void {
    const cluster = this.#cluster;
    cluster.watch(this);
    for (const host of cluster.hosts) this.#expectHoldToEnd(host);
    while (!this.#isDone()) {
      // Rests on the way, because a disturbance may come at any time.
      const rests = [this.#oneActiveAtMs, this.#stillAtMs, this.#stillAtMs + this.#watchMs];
      const restMs = rests.find((atMs) => atMs >= cluster.nowMs) ?? cluster.nowMs + REST_MS;
      cluster.schedule.runUntil(restMs + INSTANT_MS);
      this.changed();
      this.#look();
      const isLate = cluster.nowMs > this.#stillAtMs + this.#watchMs + MAX_SETTLING_MS;
      if (isLate || this.#disturbedAtMs - this.#beganMs > MAX_SETTLING_MS) {
        cluster.fail('settles', `something still changes ${MAX_SETTLING_MS} ms after the faults`);
      }
    }
    this.#checkNeighbors();
    cluster.unwatch(this);
    this.#isOver = true;
  }

  #isDone(): boolean {
    const cluster = this.#cluster;
    if (cluster.nowMs < this.#stillAtMs + this.#watchMs) return false;
    if (!cluster.hosts.every((host) => cluster.isClassFinal(host))) return false;
    if (cluster.hosts.some((host) => this.#isReopening(host))) return false;
    const isHeld = this.#components.every((hosts) => hosts.some((host) => cluster.isActive(host)));
    return isHeld || cluster.nowMs > this.#holdsEndAtMs;
  }

  /** Sockets that have failed are opened again, after a pause that grows up to a bound. */
  #isReopening(host: Host): boolean {
    const cluster = this.#cluster;
    const { daemon } = host;
    if (daemon === null || !daemon.isStarted || daemon.stopping || daemon.isAttached || !host.carrier)
      return false;
    const sinceMs = cluster.nowMs - this.#beganMs;
    if (sinceMs <= driftedMs(REOPENING_MS)) return true;
    return cluster.fail(
      'reopens',
      `${host.setup.name} has had no sockets for ${sinceMs.toFixed(0)} ms without faults`,
    );
  }

  /** Once there is one Active: may it be preempted? And once nothing should move any more: has it been? */
  #look(): void {
    const cluster = this.#cluster;
    if (cluster.nowMs <= this.#oneActiveAtMs || this.#isOverlap) return;
    const [better] = this.#components.flatMap((hosts) => this.#findBetter(hosts) ?? []);
    if (better === undefined) this.#mayMove = false;
    else if (cluster.nowMs > this.#stillAtMs) cluster.fail('right-holder', better);
  }

  disturbed(): void {
    this.#disturbedAtMs = Math.max(this.#disturbedAtMs, this.#cluster.nowMs);
    this.#mayMove = true;
  }

  moved({ host, to, cause }: Transition): void {
    const cluster = this.#cluster;
    if (GIVEN_UP.has(cause.kind)) {
      this.disturbed();
      this.#expectHoldToEnd(host);
    }
    if (to === 'Active') {
      this.#promotedAtMs = cluster.nowMs;
      cluster.schedule.after(overlapMs(cluster.scenario), this);
      cluster.schedule.after(BIND_MS + INSTANT_MS, this);
    }
    if (to !== 'Active') {
      this.#demotedAtMs = cluster.nowMs;
      cluster.schedule.after(releaseMs(true) + 0.01, this);
    }
    if (cluster.nowMs > this.#stillAtMs) {
      const text = `${host.setup.name} became ${to} (${cause.text}) ${(cluster.nowMs - this.#disturbedAtMs).toFixed(1)} ms after the last disturbance`;
      cluster.fail('nothing-moves', text);
    }
  }

  changed(): void {
    if (this.#cluster.nowMs <= this.#oneActiveAtMs) return;
    for (const component of this.#components) this.#checkComponent(component);
  }

  /** One may just be taking over from another. */
  get #isOverlap(): boolean {
    return this.#cluster.nowMs < this.#promotedAtMs + overlapMs(this.#cluster.scenario);
  }

  get #oneActiveAtMs(): number {
    const cluster = this.#cluster;
    for (const host of cluster.hosts) {
      if (host.daemon === null) continue;
      // A damaged packet may have passed for a good one, with any interval in it.
      const learnedMs = cluster.checkerOf(host).learnedLongestMs;
      this.#longestIntervalMs = Math.max(this.#longestIntervalMs, learnedMs);
    }
    return this.#disturbedAtMs + oneActiveMs(cluster.scenario, this.#longestIntervalMs);
  }

  get #stillAtMs(): number {
    const oneActiveAtMs = this.#oneActiveAtMs;
    return this.#mayMove
      ? oneActiveAtMs + lastMoveMs(this.#cluster.scenario, this.#longestIntervalMs)
      : oneActiveAtMs;
  }

  get #watchMs(): number {
    return WATCH_MS + 2 * longestDownMs(this.#cluster.scenario, this.#longestIntervalMs);
  }

  #checkComponent(hosts: readonly Host[]): void {
    const cluster = this.#cluster;
    const actives = hosts.filter((host) => cluster.isActive(host));
    const sinceText = `${(cluster.nowMs - this.#disturbedAtMs).toFixed(1)} ms after the last disturbance`;
    if (actives.length > 1 && !this.#isOverlap) {
      cluster.fail('one-active', `${namesOf(actives)} are both Active ${sinceText}`);
    }
    if (actives.length === 0 && hosts.some((host) => cluster.isEligible(host))) {
      cluster.fail('one-active', `none of ${namesOf(hosts)} is Active ${sinceText}`);
    }
    const unbound = actives.filter((host) => !host.kernel.bound);
    if (unbound.length > 0 && cluster.nowMs > this.#promotedAtMs + BIND_MS)
      cluster.fail('one-bound', `${namesOf(unbound)} is Active without the VIP ${sinceText}`);
    const strays = hosts.filter(
      (host) =>
        host.kernel.bound &&
        !cluster.isActive(host) &&
        cluster.nowMs >
          Math.max(
            host.endedAtMs + leaseOverMs(host),
            this.#demotedAtMs + releaseMs(true),
            host.kernel.slowUntilMs + releaseMs(true),
          ),
    );
    if (strays.length > 0)
      cluster.fail('one-bound', `${namesOf(strays)} has the VIP and is not Active ${sinceText}`);
  }

  /** Not only one Active, but the right one: who else should be it, in words, or null. */
  #findBetter(hosts: readonly Host[]): string | null {
    const cluster = this.#cluster;
    const active = hosts.find((host) => cluster.isActive(host));
    if (active === undefined) return null;
    const isUnhealthy = cluster.checkerOf(active).healthClass === 'C';
    for (const host of hosts) {
      if (host === active || !cluster.isEligible(host)) continue;
      const mode = host.daemon?.options.preempt;
      const isHigher = priorityOf(host) > priorityOf(active);
      if ((mode === 'unhealthy' && isUnhealthy) || (mode === 'always' && isHigher)) {
        return `${host.setup.name} has not taken over from ${active.setup.name}, under ${mode}`;
      }
    }
    return null;
  }

  /**
   * Everybody who would send to the VIP sends to the Active: by the end of a burst of announcements, which outlasts the
   * locktime of neighbors; where announcements were lost under faults, by the next refresh.
   */
  #checkNeighbors(): void {
    const cluster = this.#cluster;
    const withinMs = cluster.scenario.plot === 'faults' ? ANNOUNCEMENT_REFRESH_MS : BURST_MS;
    const lateMs = PUNCTUAL_TIMERS * timerMs(cluster.scenario) + delayMs(cluster.scenario);
    if (this.#misled().length > 0) cluster.schedule.runUntil(cluster.nowMs + driftedMs(withinMs) + lateMs);
    const misled = this.#misled();
    if (misled.length === 0) return;
    cluster.fail('neighbors-know', `${namesOf(misled)} would send to a host that does not hold the VIP`);
  }

  #misled(): Host[] {
    const cluster = this.#cluster;
    return this.#components.flatMap((hosts) => {
      const active = hosts.find((host) => cluster.isActive(host));
      if (active === undefined) return [];
      return hosts.filter(({ vipNeighbor }) => vipNeighbor !== null && vipNeighbor !== active.setup.index);
    });
  }

  #expectHoldToEnd(host: Host): void {
    const cluster = this.#cluster;
    if (host.daemon === null) return;
    const endMs = host.clock.simulatedMs(cluster.checkerOf(host).heldOffUntilMs);
    this.#holdsEndAtMs = Math.max(this.#holdsEndAtMs, endMs);
    if (endMs > cluster.nowMs) cluster.schedule.at(endMs, { run: () => this.disturbed() });
  }
}

/** Runs the cluster until it is settled. Throws CheckFailure where it does not settle, or not in time. */
export function settle(cluster: Cluster): void {
  cluster.note(null, 'no faults from here on');
  new Settling(cluster).settle();
  cluster.note(null, 'settled');
}

/** Who can talk with whom, both ways. Partitions that are left when faults stop are whole ones. */
function componentsOf({ hosts, link }: Cluster): Host[][] {
  const components: Host[][] = [];
  for (const host of hosts) {
    const own = components.find((component) =>
      component.every((other) => link.passes(host.setup.index, other.setup.index)),
    );
    if (own === undefined) components.push([host]);
    else own.push(host);
  }
  return components;
}

function namesOf(hosts: readonly Host[]): string {
  return hosts.map(({ setup }) => setup.name).join(' and ');
}
