/**
 * One run of the program on a host: the real Router, in a process that is late, is paused and dies as processes do, and
 * what the daemon does around it: it starts, watches the interface, checks API servers and closes connections.
 */
import { LINGER_MAX_MS } from '../../proxy/lingering.ts';
import type { LeaseAnswer, LeaseCalls } from '../../vrrp/driver/kernel-lease.ts';
import type { RouterClock } from '../../vrrp/driver/router-clock.ts';
import type { OpenRouterSockets, RouterLink } from '../../vrrp/driver/router-sockets.ts';
import { Router } from '../../vrrp/driver/router.ts';
import { SUCCESSOR_PATIENCE_MS } from '../../vrrp/driver/successor.ts';
import type { HealthClass } from '../../node/health-class.ts';
import type { Action, RouterEvent, StateName, VirtualRouterOptions } from '../../vrrp/events.ts';
import type { VirtualRouter } from '../../vrrp/virtual-router.ts';
import type { HostClock } from './clock.ts';
import { type ApiState, HealthChecks } from './health.ts';
import type { Kernel } from './kernel.ts';
import type { Frame, Packet } from './link.ts';
import type { Random } from './random.ts';
import type { NodeSetup, Scenario } from './scenario.ts';
import type { Schedule, Task } from './schedule.ts';
import { SimulatedSockets } from './sockets.ts';

/** Between the sweep and the startup event: the proxy is made to listen. */
const STARTUP_MS = { low: 5, high: 60 };
/** Until the proxy has closed its clients' connections, when another node has the address (daemon: closeVip). */
const CLOSE_MS = { low: 0.2, high: 50 };
/** The same after a handover: it finishes first what clients have begun. */
const FINISH_MS = { low: 20, high: LINGER_MAX_MS + 250 };
/** Before that it waits for the kernel of the successor: by a timer that may be late, and a clock that may be slow. */
const SUCCESSOR_MS = SUCCESSOR_PATIENCE_MS + 10;
/** From a request to the network thread to its answer, or from a change to its notification. */
const NETLINK_MS = { low: 0.02, high: 0.4 };

/** The longest time from a promotion until the kernel has the address, with calls before it that are under way. */
export const BIND_MS = 5 * NETLINK_MS.high;

/** The longest time from the end of a term as Active until the address is out of the kernel. */
export function releaseMs(handedOver: boolean): number {
  const closeMs = handedOver ? SUCCESSOR_MS + FINISH_MS.high : CLOSE_MS.high;
  return closeMs + 4 * NETLINK_MS.high;
}

export type CreateRouter = (options: VirtualRouterOptions) => VirtualRouter;

/** Everything of a host that a process on it can use. */
export type Machine = {
  readonly setup: NodeSetup;
  readonly clock: HostClock;
  readonly kernel: Kernel;
  readonly carrier: boolean;
  /** A new value at each change of name or hardware address. */
  readonly link: RouterLink;
  /** Fault: no socket can be opened, and nothing can be sent. */
  readonly refusesSockets: boolean;
  /** Fault: the network thread's answers are up to so late, each by itself, so that they overtake each other. */
  readonly lateAnswersMs: number;
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

/** What the kernel has made of a call. */
type Outcome = Pick<LeaseAnswer, 'refusal' | 'removed'>;
type Request = { readonly make: () => Outcome; readonly onAnswer: (answer: LeaseAnswer) => void };

/** One step of the core: the state on both sides of it, and when it wants to be served next. */
export type Step = {
  readonly event: RouterEvent;
  readonly actions: readonly Action[];
  readonly from: StateName;
  readonly to: StateName;
  readonly deadlineMs: number;
};

/** Observes daemons. Times are the host's own. */
export type DaemonObserver = {
  logged(daemon: Daemon, level: string, text: string): void;
  /** What the step asked for has been done. */
  stepped(daemon: Daemon, step: Step): void;
  resumed(daemon: Daemon, pausedMs: number): void;
  stopped(daemon: Daemon): void;
};

export class Daemon {
  readonly machine: Machine;
  readonly options: VirtualRouterOptions;
  readonly core: VirtualRouter;
  /** Milliseconds of simulated time; null while it runs. */
  pausedSinceMs: number | null = null;
  resumedAtMs = -Infinity;
  isDead = false;
  /** It has begun to take part, wherever the interface is usable. */
  isStarted = false;
  readonly #surroundings: Surroundings;
  readonly #router: Router;
  #isStopping = false;
  #isPinned = false;
  #hasStopped = false;
  #sockets: SimulatedSockets | null = null;
  /** Steps that the observer has not been shown yet. */
  #steps: Step[] = [];
  #inbox: Task[] = [];
  /** What the network thread has been asked for and has not done, the first of which it does. */
  #requests: Request[] = [];
  /** Timers that fired while it was paused. */
  #due: Timer[] = [];

  /** The process begins: it sweeps what an earlier one has left, before it does anything else. */
  constructor(machine: Machine, surroundings: Surroundings, options: VirtualRouterOptions) {
    const { schedule, random, createRouter } = surroundings;
    this.machine = machine;
    this.#surroundings = surroundings;
    this.options = options;
    this.core = this.#observe(createRouter(options));
    this.#router = this.#createRouter();
    const startupMs = random.between(STARTUP_MS.low, STARTUP_MS.high);
    machine.kernel.change(() => {
      machine.kernel.remove('daemon');
      schedule.after(startupMs, { run: () => this.#enter(() => this.#begin()) });
    });
  }

  get isAwake(): boolean {
    return !this.isDead && this.pausedSinceMs === null;
  }

  get stopping(): boolean {
    return this.#isStopping;
  }

  /** Its sockets are open. */
  get isAttached(): boolean {
    return this.#sockets !== null;
  }

  /** Takes part in the election, or would as soon as it is well. */
  get takesPart(): boolean {
    return this.isAttached && this.isStarted && !this.#isStopping && !this.isDead;
  }

  /** Its socket gets this packet. */
  receive(packet: Packet): void {
    const sockets = this.#sockets;
    if (sockets === null) return;
    if (this.pausedSinceMs === null) this.#enter(() => sockets.deliver(packet));
    else sockets.enqueue(packet);
  }

  /** From a signal, a command or a message of another thread. */
  give(event: RouterEvent): void {
    this.#enter(() => this.#router.give(event));
  }

  /** Its health is this from now on, whatever its checks say. */
  pinHealth(healthClass: HealthClass): void {
    this.#isPinned = true;
    const confirmedAtMs = healthClass === 'C' ? 0 : this.machine.clock.nowMs;
    this.give({ type: 'health', class: healthClass, confirmedAtMs });
  }

  /** The kernel notifies, a moment later: the address is gone, and this daemon has not removed it. */
  notifyGone(): void {
    this.#afterNetlink(() => this.#router.onAddressGone(this.machine.link.index, this.#router.options.vip));
  }

  /** The kernel notifies, a moment later: the interface is another, or has or has not a carrier. */
  notifyLink(): void {
    this.#afterNetlink(() => this.#lookAtLink());
  }

  /** Fault: to read from its sockets fails. */
  failSockets(): void {
    this.#enter(() => this.#sockets?.fail(new Error('network is down')));
  }

  /** SIGTERM (with `handover`), or something that the daemon needs has failed; the first one counts. */
  stop(handover: boolean): void {
    this.#enter(() => {
      if (this.#isStopping) return;
      this.#isStopping = true;
      this.#router.shutdown(handover, handover ? 'SIGTERM' : 'the proxy has failed', () => {
        this.#hasStopped = true;
      });
    });
  }

  /** SIGKILL. */
  kill(): void {
    this.isDead = true;
    this.#sockets = null;
  }

  pause(): void {
    this.pausedSinceMs ??= this.#surroundings.schedule.nowMs;
  }

  /** Everything that has gathered is handled at once, packets and timers in either order or in turns. */
  resume(): void {
    const { schedule, random, observer } = this.#surroundings;
    if (this.pausedSinceMs === null) return;
    const pausedMs = schedule.nowMs - this.pausedSinceMs;
    this.pausedSinceMs = null;
    this.resumedAtMs = schedule.nowMs;
    observer.resumed(this, pausedMs);
    const packetsFirst = random.pick([0, 0.5, 1]);
    while (this.isAwake) {
      this.#due = this.#due.filter(({ isOver }) => !isOver);
      const isTimerDue = this.#due.length > 0;
      const isQueued = this.#sockets !== null && this.#sockets.queued > 0;
      if (isQueued && (!isTimerDue || random.chance(packetsFirst)))
        this.#enter(() => this.#sockets?.deliverFirst());
      else if (isTimerDue && (this.#inbox.length === 0 || random.chance(0.5))) this.#fire(this.#due.shift()!);
      else if (this.#inbox.length > 0) this.#inbox.shift()!.run();
      else return;
    }
  }

  /** Timer tasks call this; one that was prevented is over. */
  onTimerTask(timer: Timer): void {
    if (timer.isOver || this.isDead) return;
    if (this.pausedSinceMs === null) this.#fire(timer);
    else this.#due.push(timer);
  }

  #fire(timer: Timer): void {
    timer.isOver = true;
    this.#enter(timer.onTime);
  }

  /** All that the process does begins here: now, or when it wakes up, or not at all if it is dead. */
  #enter(run: () => void): void {
    if (this.isDead) return;
    if (this.pausedSinceMs !== null) {
      this.#inbox.push({ run: () => this.#enter(run) });
      return;
    }
    run();
    if (this.#steps.length > 0) this.#showSteps();
    if (!this.#hasStopped) return;
    this.kill();
    this.#surroundings.observer.stopped(this);
  }

  #showSteps(): void {
    const steps = this.#steps;
    this.#steps = [];
    for (const step of steps) this.#surroundings.observer.stepped(this, step);
  }

  #begin(): void {
    if (this.#isStopping) return;
    this.isStarted = true;
    this.#startChecks();
    this.#lookAtLink();
    this.#router.give({ type: 'startup' });
  }

  #startChecks(): void {
    const { schedule, scenario, healthRandom, ask } = this.#surroundings;
    const { setup, clock } = this.machine;
    new HealthChecks({
      schedule,
      clock,
      random: healthRandom,
      times: scenario.healthTimes,
      hostCount: scenario.nodes.length,
      localIndex: setup.index,
      ask: (of) => ask(setup.index, of),
      whenAwake: (task) => this.#enter(() => task.run()),
      onReport: (healthClass, confirmedAtMs) => {
        if (!this.#isPinned) this.#router.give({ type: 'health', class: healthClass, confirmedAtMs });
      },
    });
  }

  /** As the daemon's Election does it. */
  #lookAtLink(): void {
    const { carrier, link } = this.machine;
    const router = this.#router;
    if (!this.isStarted) return;
    if (!carrier) router.detach('the interface has no carrier');
    else if (router.link === null) router.attach(link);
    else if (router.link !== link) router.adopt(link);
  }

  #afterNetlink(run: () => void): void {
    const { schedule, random } = this.#surroundings;
    const task: Task = { run: () => this.#enter(run) };
    schedule.after(random.between(NETLINK_MS.low, NETLINK_MS.high), task);
  }

  /** Keeps what each step was, to be shown when what it asked for has been done. */
  #observe(core: VirtualRouter): VirtualRouter {
    const step = core.step.bind(core);
    core.step = (event, nowMs) => {
      const from = core.stateName;
      const actions = step(event, nowMs);
      const { stateName: to, deadlineMs } = core;
      this.#steps.push({ event, actions, from, to, deadlineMs });
      return actions;
    };
    return core;
  }

  #createRouter(): Router {
    const { scenario, observer } = this.#surroundings;
    return new Router({
      vrid: scenario.vrid,
      vip: scenario.vip,
      core: this.core,
      authentication: scenario.authentication,
      checksumForm: scenario.checksumForm,
      senders: scenario.peers,
      unicast: scenario.unicast,
      leaseCalls: this.#createCalls(),
      isPresent: () => this.machine.kernel.bound,
      openSockets: (options) => this.#openSockets(options),
      clock: this.#createClock(),
      log: (level, message) => observer.logged(this, level, message),
      closeVip: (handedOver, onEnd) => this.#closeConnections(handedOver, onEnd),
      onChange: () => {},
      onDrainFailed: () => {},
      onLost: () => {},
    });
  }

  #createClock(): RouterClock {
    const { schedule, scenario, random } = this.#surroundings;
    const { clock } = this.machine;
    const { timerEarlyMs, timerLateMs } = scenario;
    return {
      nowMs: () => clock.nowMs,
      startTimer: (delayMs, onTime) => {
        const atMs = clock.simulatedMs(clock.nowMs + delayMs) + random.between(-timerEarlyMs, timerLateMs);
        const timer = new Timer(this, onTime);
        schedule.at(atMs, timer);
        return () => {
          timer.isOver = true;
        };
      },
      suspendedMs: () => 0,
      date: () => new Date(schedule.nowMs),
    };
  }

  readonly #openSockets: OpenRouterSockets = (options) => {
    const { machine } = this;
    const surroundings = this.#surroundings;
    if (machine.refusesSockets) throw new Error('no buffer space available');
    const sockets = new SimulatedSockets({
      ...options,
      send: (destination, frame) => {
        // The segment knows hosts by index; a group is everybody.
        const to = surroundings.scenario.nodes.find(({ address }) => address === destination)?.index ?? null;
        surroundings.send(machine.setup.index, to, frame);
      },
      isFull: () => machine.refusesSockets,
      hostIndex: machine.setup.index,
      onClose: () => {
        if (this.#sockets === sockets) this.#sockets = null;
      },
    });
    this.#sockets = sockets;
    return sockets;
  };

  #createCalls(): LeaseCalls {
    const { kernel } = this.machine;
    return {
      leaseAddress: ({ validSeconds }, onAnswer) => {
        const make = (): Outcome => ({
          refusal: kernel.lease(validSeconds) ? null : 'the kernel refuses',
          removed: false,
        });
        this.#request({ make, onAnswer });
      },
      removeAddress: (_index, _address, onAnswer) =>
        this.#request({ make: () => ({ refusal: null, removed: kernel.remove('daemon') }), onAnswer }),
    };
  }

  /** The network thread makes one call after the other. */
  #request(request: Request): void {
    this.#requests.push(request);
    if (this.#requests.length === 1) this.#makeCall(request);
  }

  #makeCall({ make, onAnswer }: Request): void {
    const { schedule } = this.#surroundings;
    this.#afterNetlink(() => {
      const sinceMs = schedule.nowMs;
      this.machine.kernel.change(() => {
        const answer = { ...make(), durationMs: schedule.nowMs - sinceMs, waitedForCpuMs: 0 };
        this.#afterAnswer(() => onAnswer(answer));
        this.#requests.shift();
        const [next] = this.#requests;
        if (next !== undefined) this.#makeCall(next);
      });
    });
  }

  #afterAnswer(run: () => void): void {
    const { schedule, random } = this.#surroundings;
    const { kernel, lateAnswersMs } = this.machine;
    if (lateAnswersMs === 0) {
      this.#afterNetlink(run);
      return;
    }
    const lateMs = random.between(0, lateAnswersMs);
    kernel.noteSlow(schedule.nowMs + lateMs);
    schedule.after(lateMs, { run: () => this.#enter(run) });
  }

  #closeConnections(handedOver: boolean, onEnd: () => void): void {
    const { schedule, random } = this.#surroundings;
    const { low, high } = handedOver ? FINISH_MS : CLOSE_MS;
    schedule.after(random.between(low, high), { run: () => this.#enter(onEnd) });
  }
}

class Timer implements Task {
  readonly onTime: () => void;
  isOver = false;
  readonly #daemon: Daemon;

  constructor(daemon: Daemon, onTime: () => void) {
    this.#daemon = daemon;
    this.onTime = onTime;
  }

  run(): void {
    this.#daemon.onTimerTask(this);
  }
}
