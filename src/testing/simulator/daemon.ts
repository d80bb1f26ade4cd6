/**
 * One run of the program on a host: the simulated counterpart of src/vrrp/driver/router.ts and of what surrounds it,
 * with the same Performer inside. It is late, it is paused and it dies as a process is and does.
 */
import { parseIp } from '../../ip/address.ts';
import {
  type RouterLease,
  Performer,
  type RouterClock,
  type RouterSockets,
} from '../../vrrp/driver/performer.ts';
import type { Action, RouterEvent, StateName, VirtualRouterOptions } from '../../vrrp/events.ts';
import { OutgoingAdvertisements } from '../../vrrp/outgoing.ts';
import { type ReceiveOptions, receiveAdvertisement } from '../../vrrp/receive.ts';
import type { VirtualRouter } from '../../vrrp/virtual-router.ts';
import type { HostClock } from './clock.ts';
import { type ApiState, HealthChecks } from './health.ts';
import type { Kernel } from './kernel.ts';
import type { Announcement, Frame, Packet } from './link.ts';
import type { Random } from './random.ts';
import type { NodeSetup, Scenario } from './scenario.ts';
import type { Schedule, Task } from './schedule.ts';

const VRRP_GROUP = { IPv4: parseIp('224.0.0.18')!, IPv6: parseIp('ff02::12')! };

/** What a receive buffer of 256 KiB holds. */
const MAX_QUEUED_PACKETS = 600;
/** Between the sweep and the startup event: the proxy is made to listen. */
const STARTUP_MS = { low: 5, high: 60 };
/** The proxy finishes or resets its clients' connections before the address goes (driver: closeVip). */
export const UNBIND_MS = { low: 0.2, high: 260 };
/** Where nobody else has been heard to have the address, nothing is waited for. */
const RESET_MS = 5;
/** From a system call to its answer, or from a change to its notification, over rtnetlink. */
const NETLINK_MS = { low: 0.02, high: 0.4 };

export type CreateRouter = (options: VirtualRouterOptions) => VirtualRouter;

/** Everything of a host that a process on it can use. */
export type Machine = {
  readonly setup: NodeSetup;
  readonly clock: HostClock;
  readonly kernel: Kernel;
  readonly carrier: boolean;
};

export type Surroundings = {
  readonly schedule: Schedule;
  readonly scenario: Scenario;
  /** Chance in the process (lateness, order after a pause) and in its health checks. */
  readonly random: Random;
  readonly healthRandom: Random;
  readonly createRouter: CreateRouter;
  readonly send: (from: number, to: number | null, frame: Frame) => void;
  /** What happens to a health check from one host's daemon of another's API server. */
  readonly ask: (from: number, of: number) => ApiState;
  readonly observer: DaemonObserver;
};

/** Who looks on. Times are the host's own. */
export type DaemonObserver = {
  /** A packet was dropped on the ladder. */
  rejected(daemon: Daemon, reason: string): void;
  stepped(daemon: Daemon, event: RouterEvent, actions: readonly Action[], from: StateName): void;
  resumed(daemon: Daemon, pausedMs: number): void;
  stopped(daemon: Daemon): void;
};

export class Daemon {
  readonly machine: Machine;
  readonly options: VirtualRouterOptions;
  readonly router: VirtualRouter;
  /** Milliseconds of simulated time; null while it runs. */
  pausedSinceMs: number | null = null;
  resumedAtMs = -Infinity;
  isDead = false;
  private readonly surroundings: Surroundings;
  private readonly performer: Performer;
  private readonly receiveOptions: ReceiveOptions;
  private readonly outgoing: OutgoingAdvertisements;
  private readonly announcement: Announcement;
  private isAttached = false;
  private isStarted = false;
  private isStopping = false;
  private queue: Packet[] = [];
  private inbox: Task[] = [];
  private timer: Timer | null = null;

  /** The process begins: it sweeps what an earlier one has left, before it does anything else. */
  constructor(machine: Machine, surroundings: Surroundings, options: VirtualRouterOptions) {
    const { schedule, scenario, random, createRouter } = surroundings;
    this.machine = machine;
    this.surroundings = surroundings;
    this.options = options;
    this.router = createRouter(options);
    this.performer = this.createPerformer();
    this.receiveOptions = {
      vrid: scenario.vrid,
      version: options.version,
      advertisementIntervalMs: options.advertisementIntervalMs,
      addresses: [scenario.vip],
      authentication: scenario.authentication,
      self: machine.setup.address.text,
      allowedSources: scenario.allowedSources,
    };
    this.outgoing = new OutgoingAdvertisements({
      version: options.version,
      vrid: scenario.vrid,
      addresses: [scenario.vip],
      authentication: scenario.authentication,
      checksumForm: scenario.checksumForm,
      source: machine.setup.address,
      destinations: scenario.unicast
        ? scenario.nodes.map(({ address }) => address)
        : [VRRP_GROUP[scenario.vip.family]],
    });
    this.announcement = { kind: 'announcement', from: machine.setup.index };
    machine.kernel.remove('daemon');
    const begin: Task = { run: () => this.begin() };
    schedule.after(random.between(STARTUP_MS.low, STARTUP_MS.high), { run: () => this.whenAwake(begin) });
  }

  get isAwake(): boolean {
    return !this.isDead && this.pausedSinceMs === null;
  }

  get stopping(): boolean {
    return this.isStopping;
  }

  /** Takes part in the election, or would as soon as it is well. */
  get takesPart(): boolean {
    return this.isAttached && this.isStarted && !this.isStopping && !this.isDead;
  }

  /** Its socket gets this packet. */
  receive(packet: Packet): void {
    if (!this.isAttached) return;
    if (this.pausedSinceMs === null) this.read(packet);
    else if (this.queue.length < MAX_QUEUED_PACKETS) this.queue.push(packet);
  }

  /** From a signal, a command or a message of another thread. */
  give(event: RouterEvent): void {
    this.whenAwake({ run: () => this.step(event) });
  }

  /** The kernel notifies: the address is gone, or the interface has or has not a carrier. In order, a moment later. */
  notifyRemoved(): void {
    this.afterNetlink(() => {
      if (this.isAttached) this.step({ type: 'addressLost', text: 'the VIP was removed' });
    });
  }

  notifyCarrier(carrier: boolean): void {
    this.afterNetlink(() => {
      if (carrier) this.attach();
      else this.detach();
    });
  }

  /** SIGTERM (with `handover`), or something that the daemon needs has failed; the first one counts. */
  stop(handover: boolean): void {
    this.whenAwake({
      run: () => {
        if (this.isStopping) return;
        this.isStopping = true;
        this.step({ type: 'shutdown', handover, text: handover ? 'SIGTERM' : 'the proxy has failed' });
        this.endIfStopped();
      },
    });
  }

  /** SIGKILL. */
  kill(): void {
    this.isDead = true;
    this.isAttached = false;
  }

  pause(): void {
    this.pausedSinceMs ??= this.surroundings.schedule.nowMs;
  }

  /** Everything that has gathered is handled at once, packets and timer in either order or in turns. */
  resume(): void {
    const { schedule, random, observer } = this.surroundings;
    if (this.pausedSinceMs === null) return;
    const pausedMs = schedule.nowMs - this.pausedSinceMs;
    this.pausedSinceMs = null;
    this.resumedAtMs = schedule.nowMs;
    observer.resumed(this, pausedMs);
    const packetsFirst = random.pick([0, 0.5, 1]);
    while (this.isAwake) {
      const isTimerDue = this.timer !== null && this.timer.atMs <= schedule.nowMs;
      if (this.queue.length > 0 && (!isTimerDue || random.chance(packetsFirst)))
        this.read(this.queue.shift()!);
      else if (isTimerDue && (this.inbox.length === 0 || random.chance(0.5))) this.onTimer();
      else if (this.inbox.length > 0) this.inbox.shift()!.run();
      else return;
    }
  }

  /** Timer tasks call this; one that was prevented is stale. */
  onTimerTask(timer: Timer): void {
    if (timer === this.timer && this.isAwake) this.onTimer();
  }

  private whenAwake(task: Task): void {
    if (this.isDead) return;
    if (this.pausedSinceMs === null) task.run();
    else this.inbox.push(task);
  }

  private startChecks(): void {
    const { schedule, scenario, healthRandom, ask } = this.surroundings;
    const { setup, clock } = this.machine;
    new HealthChecks({
      schedule,
      clock,
      random: healthRandom,
      times: scenario.healthTimes,
      hostCount: scenario.nodes.length,
      localIndex: setup.index,
      ask: (of) => ask(setup.index, of),
      whenAwake: (task) => this.whenAwake(task),
      onReport: (healthClass, confirmedAtMs) =>
        this.step({ type: 'health', class: healthClass, confirmedAtMs }),
    });
  }

  private begin(): void {
    if (this.isStopping) return;
    this.isStarted = true;
    this.startChecks();
    this.attach();
    this.step({ type: 'startup' });
  }

  private attach(): void {
    if (this.isAttached || !this.isStarted || !this.machine.carrier) return;
    this.isAttached = true;
    this.step({ type: 'linkUp', primary: this.machine.setup.address });
  }

  /** The core still has its socket when it hears of it; what is queued on that goes with it. */
  private detach(): void {
    if (!this.isAttached) return;
    this.step({ type: 'linkDown', text: 'the interface has no carrier' });
    this.isAttached = false;
    this.queue = [];
  }

  private afterNetlink(run: () => void): void {
    const { schedule, random } = this.surroundings;
    const task: Task = { run };
    schedule.after(random.between(NETLINK_MS.low, NETLINK_MS.high), { run: () => this.whenAwake(task) });
  }

  private onTimer(): void {
    const { timer } = this;
    this.timer = null;
    timer?.onTime();
  }

  private read(packet: Packet): void {
    const result = receiveAdvertisement(packet.message, packet, this.receiveOptions);
    if (result.ok) {
      const { advertisement } = result;
      this.step({ type: 'advertisement', advertisement, source: packet.source });
    } else this.surroundings.observer.rejected(this, result.reason);
  }

  private step(event: RouterEvent): void {
    if (this.isDead) return;
    this.performer.give(event);
  }

  private endIfStopped(): void {
    const isOut = this.router.stateName === 'Initialize' && !this.performer.releasing;
    if (!this.isStopping || this.isDead || !isOut) return;
    this.kill();
    this.surroundings.observer.stopped(this);
  }

  private createPerformer(): Performer {
    const { observer } = this.surroundings;
    return new Performer({
      core: this.router,
      clock: this.createClock(),
      sockets: this.createSockets(),
      lease: this.createLease(),
      observer: {
        transition: () => {},
        notice: () => {},
        stepped: (from, event, actions) => {
          observer.stepped(this, event, actions, from);
          if (this.router.stateName !== from) this.endIfStopped();
        },
      },
    });
  }

  private createClock(): RouterClock {
    const { schedule, scenario, random } = this.surroundings;
    const { clock } = this.machine;
    const { timerEarlyMs, timerLateMs } = scenario;
    return {
      nowMs: () => clock.nowMs,
      startTimer: (delayMs, onTime) => {
        const atMs = clock.simulatedMs(clock.nowMs + delayMs) + random.between(-timerEarlyMs, timerLateMs);
        const timer = new Timer(this, atMs, onTime);
        this.timer = timer;
        schedule.at(atMs, timer);
        return () => {
          if (this.timer === timer) this.timer = null;
        };
      },
    };
  }

  private createSockets(): RouterSockets {
    return {
      sendAdvertisement: (priority, intervalMs) => this.send(priority, intervalMs),
      announce: () => this.surroundings.send(this.machine.setup.index, null, this.announcement),
      readQueued: () => {
        while (this.queue.length > 0) this.read(this.queue.shift()!);
      },
      discardQueued: () => {
        this.queue = [];
      },
    };
  }

  private createLease(): RouterLease {
    const { schedule, random } = this.surroundings;
    const { kernel } = this.machine;
    return {
      take: (_, listener) => {
        if (!kernel.lease()) this.afterNetlink(() => listener.failed('the kernel refuses'));
      },
      release: (handedOver, isOver, onEnd) => {
        const remove = (): void => {
          if (isOver()) kernel.remove('daemon');
          onEnd();
          this.endIfStopped();
        };
        const task: Task = { run: remove };
        const longestMs = handedOver ? UNBIND_MS.high : RESET_MS;
        schedule.after(random.between(UNBIND_MS.low, longestMs), { run: () => this.whenAwake(task) });
      },
    };
  }

  private send(priority: number, intervalMs: number): void {
    const { scenario, send } = this.surroundings;
    const { index, address: source } = this.machine.setup;
    for (const destination of this.outgoing.destinations) {
      const message = this.outgoing.message(priority, intervalMs, destination);
      const packet: Packet = { kind: 'vrrp', message, family: source.family, source, destination, ttl: 255 };
      // The segment knows hosts by index; a group is everybody.
      const to = scenario.nodes.find(({ address }) => address === destination)?.index ?? null;
      send(index, to, packet);
    }
  }
}

class Timer implements Task {
  readonly atMs: number;
  readonly onTime: () => void;
  private readonly daemon: Daemon;

  constructor(daemon: Daemon, atMs: number, onTime: () => void) {
    this.daemon = daemon;
    this.atMs = atMs;
    this.onTime = onTime;
  }

  run(): void {
    this.daemon.onTimerTask(this);
  }
}
