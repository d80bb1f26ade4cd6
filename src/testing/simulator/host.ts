/** One host: a clock, a kernel, an interface, an API server, and at most one running daemon. */
import type { RouterLink } from '../../vrrp/driver/router-sockets.ts';
import type { VirtualRouterOptions } from '../../vrrp/events.ts';
import { HostClock } from './clock.ts';
import { Daemon, type Machine, type Surroundings } from './daemon.ts';
import type { ApiState } from './health.ts';
import { Kernel, type RemovedBy } from './kernel.ts';
import type { Frame, LinkEnd } from './link.ts';
import type { NodeSetup } from './scenario.ts';

/** Observes what happens to the VIP in a host's kernel. */
export type AddressObserver = {
  added(host: Host): void;
  removed(host: Host, by: RemovedBy): void;
};

/** net.ipv4.neigh.default.locktime */
const LOCKTIME_MS = 1000;

export class Host implements Machine, LinkEnd {
  readonly setup: NodeSetup;
  readonly clock: HostClock;
  readonly kernel: Kernel;
  api: ApiState = 'up';
  /** Fault: none of its health checks gets through, its own API server's included. */
  isBlind = false;
  refusesSockets = false;
  lateAnswersMs = 0;
  link: RouterLink;
  daemon: Daemon | null = null;
  /** When its last daemon ended, in simulated time. */
  endedAtMs = -Infinity;
  readonly #surroundings: Surroundings;
  #hasCarrier = true;
  #neighbor: number | null = null;
  #learnedAtMs = 0;

  constructor(setup: NodeSetup, surroundings: Surroundings, observer: AddressObserver) {
    const { schedule, random } = surroundings;
    this.setup = setup;
    this.#surroundings = surroundings;
    const mac = Uint8Array.of(2, 0, 0, 0, 0, setup.index + 1);
    this.link = { index: 2, name: 'eth0', mac, source: setup.address };
    this.clock = new HostClock(schedule, setup.offsetMs, setup.driftRatio);
    this.kernel = new Kernel({
      schedule,
      clock: this.clock,
      random,
      onAdded: () => observer.added(this),
      onRemoved: (by) => {
        this.#neighbor = null;
        if (by !== 'daemon') this.daemon?.notifyGone();
        observer.removed(this, by);
      },
    });
  }

  get carrier(): boolean {
    return this.#hasCarrier;
  }

  receive(frame: Frame): void {
    if (frame.kind === 'vrrp') this.daemon?.receive(frame);
    else this.#learn(frame.from);
  }

  /** Whom a client on this host would send to for the VIP; null: it would have to ask, or has the VIP itself. */
  get vipNeighbor(): number | null {
    return this.kernel.bound ? null : this.#neighbor;
  }

  setCarrier(carrier: boolean): void {
    if (carrier === this.#hasCarrier) return;
    this.#hasCarrier = carrier;
    // The kernel forgets neighbors when the carrier goes.
    if (!carrier) this.#neighbor = null;
    this.daemon?.notifyLink();
  }

  /** The interface gets another name or hardware address, as when a bond changes. */
  changeLink(change: Partial<Pick<RouterLink, 'name' | 'mac'>>): void {
    this.link = { ...this.link, ...change };
    this.daemon?.notifyLink();
  }

  /** Starts the program, unless it runs. */
  start(options: VirtualRouterOptions): void {
    this.daemon ??= new Daemon(this, this.#surroundings, options);
  }

  kill(): void {
    this.daemon?.kill();
    this.daemonEnded();
  }

  daemonEnded(): void {
    this.daemon = null;
    this.endedAtMs = this.#surroundings.schedule.nowMs;
  }

  /** As Linux does: an entry that has just changed is not changed again within its locktime. */
  #learn(from: number): void {
    const { nowMs } = this.#surroundings.schedule;
    const isLocked = this.#neighbor !== null && nowMs < this.#learnedAtMs + LOCKTIME_MS;
    if (from === this.#neighbor || isLocked) return;
    this.#neighbor = from;
    this.#learnedAtMs = nowMs;
  }
}
