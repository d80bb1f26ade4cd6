/** Hosts on one segment, watched: every step is checked, and whoever follows the plot is told of what changes. */
import type {
  Action,
  Cause,
  CauseKind,
  RouterEvent,
  StateName,
  VirtualRouterOptions,
} from '../../vrrp/events.ts';
import { LEASE_RENEWAL_MS, LEASE_SECONDS } from '../../vrrp/lease.ts';
import { driftedMs, resignationMs, timerMs } from './bounds.ts';
import {
  type CreateRouter,
  type Daemon,
  type DaemonObserver,
  type Step,
  type Surroundings,
  releaseMs,
} from './daemon.ts';
import { type Fail, failAt } from './failure.ts';
import type { ApiState } from './health.ts';
import { Host } from './host.ts';
import { EXPIRY_LATENESS_MS, type RemovedBy } from './kernel.ts';
import { type Frame, Link } from './link.ts';
import { type Random, STREAMS } from './random.ts';
import { PUNCTUAL_TIMERS, RouterChecker } from './router-checker.ts';
import type { Scenario } from './scenario.ts';
import { Schedule } from './schedule.ts';
import { Trace, describeActions, describeEvent } from './trace.ts';

export type Transition = {
  readonly host: Host;
  readonly from: StateName;
  readonly to: StateName;
  readonly cause: Cause;
};

/** Who follows the plot. */
export type ClusterWatcher = {
  /** Something was done to a router, or it learned something, that may make it act. */
  disturbed?(): void;
  moved?(transition: Transition): void;
  /** What is bound in a kernel, or who is Active, has changed. */
  changed?(): void;
  /** A router has written a line to its log. */
  logged?(host: Host, level: string, text: string): void;
  /** A router has put a frame on the segment, for one host or (`to` null) for all. */
  sent?(host: Host, frame: Frame): void;
  bound?(host: Host): void;
  removed?(host: Host, by: RemovedBy): void;
};

export type ClusterOptions = {
  /** Chance by stream; see STREAMS. */
  readonly randomOf: (stream: number) => Random;
  readonly scenario: Scenario;
  readonly createRouter: CreateRouter;
  readonly writeTrace: ((line: string) => void) | null;
};

/** The VIP of a daemon that is dead is gone within this. */
export function leaseOverMs({ kernel }: Host): number {
  return 1000 * kernel.validSeconds + EXPIRY_LATENESS_MS + 10;
}
/** An Active that has run for this long has renewed. */
const RENEWED_MS = 2 * LEASE_RENEWAL_MS;
/** An Active that runs and has not had the address for this long has left it to another node. */
const ABSENT_MS = 1000 * LEASE_SECONDS + LEASE_RENEWAL_MS;
/** A release waits twice for the kernel, to keep the address for its clients and to remove it, for 3 s each. */
const KERNEL_PATIENCE_MS = 6000;

export class Cluster implements DaemonObserver {
  readonly schedule = new Schedule();
  readonly scenario: Scenario;
  readonly link: Link;
  readonly hosts: readonly Host[];
  readonly fail: Fail;
  readonly trace: Trace | null;
  /** How often which cause has moved a router. */
  readonly causes: Partial<Record<CauseKind, number>> = {};
  readonly #watchers = new Set<ClusterWatcher>();
  /** By host index; that of the daemon that runs there, or ran last. */
  readonly #checkers: RouterChecker[] = [];
  /** By host index: how often its router has become Active. */
  readonly #terms: number[] = [];
  /** By host index: when its router last ceased to be Active. */
  readonly #leftAtMs: number[] = [];
  /** By host index: since when its Active resigns; null while it does not. */
  readonly #resigningSinceMs: (number | null)[] = [];

  constructor(options: ClusterOptions) {
    const { randomOf, scenario, createRouter, writeTrace } = options;
    this.scenario = scenario;
    this.link = new Link(this.schedule, randomOf(STREAMS.link), scenario.quality);
    this.fail = failAt(this.schedule);
    this.trace = writeTrace === null ? null : new Trace(this.schedule, writeTrace);
    const surroundings: Surroundings = {
      schedule: this.schedule,
      scenario,
      random: randomOf(STREAMS.timers),
      healthRandom: randomOf(STREAMS.health),
      createRouter,
      send: (from, to, frame) => this.#send(from, to, frame),
      ask: (from, of) => this.#ask(from, of),
      observer: this,
    };
    this.hosts = scenario.nodes.map(
      (setup) =>
        new Host(setup, surroundings, {
          added: (host) => this.#onAddressAdded(host),
          removed: (host, by) => this.#onAddressRemoved(host, by),
        }),
    );
    this.link.connect(this.hosts);
  }

  get nowMs(): number {
    return this.schedule.nowMs;
  }

  checkerOf(host: Host): RouterChecker {
    return this.#checkers[host.setup.index]!;
  }

  isActive(host: Host): boolean {
    return host.daemon?.core.stateName === 'Active';
  }

  /** Whether this host's daemon could take the VIP. */
  isEligible(host: Host): boolean {
    const { daemon } = host;
    if (daemon === null || !daemon.isAwake || !daemon.takesPart) return false;
    const checker = this.checkerOf(host);
    const { healthClass, isDrained, awaitsKernel, heldOffUntilMs } = checker;
    return healthClass !== 'C' && !isDrained && !awaitsKernel && host.clock.nowMs >= heldOffUntilMs;
  }

  watch(watcher: ClusterWatcher): void {
    this.#watchers.add(watcher);
  }

  unwatch(watcher: ClusterWatcher): void {
    this.#watchers.delete(watcher);
  }

  /** Whether a daemon's health checks have found out how things are. */
  isClassFinal(host: Host): boolean {
    if (host.daemon === null) return true;
    const answers = this.hosts.map(({ setup }) => this.#ask(host.setup.index, setup.index) === 'up');
    const served = answers.includes(true) ? 'B' : 'C';
    return this.checkerOf(host).healthClass === (answers[host.setup.index] === true ? 'A' : served);
  }

  start(host: Host, options: VirtualRouterOptions = host.setup.options): void {
    if (host.daemon !== null) return;
    this.note(host, `the program starts, advertising each ${options.advertisementIntervalMs} ms`);
    this.#checkers[host.setup.index] = new RouterChecker(options, this.fail);
    host.start(options);
    this.#tellChanged();
  }

  kill(host: Host): void {
    if (host.daemon === null) return;
    this.note(host, 'killed');
    host.kill();
    this.#expectLeaseToEnd(host);
    this.#tellChanged();
  }

  /** The program is asked to stop (`handover`), or has to. */
  stop(host: Host, handover: boolean): void {
    const { daemon } = host;
    if (daemon === null || daemon.stopping) return;
    this.note(host, handover ? 'asked to stop' : 'has to stop');
    const sinceMs = this.nowMs;
    const wasAwake = daemon.isAwake;
    daemon.stop(handover);
    const dueMs = resignationMs(this.scenario, daemon.options.advertisementIntervalMs);
    const check = (): void => {
      const ran = wasAwake && daemon.isAwake && daemon.resumedAtMs <= sinceMs;
      if (ran) this.fail('stops', `${host.setup.name} has not stopped within ${dueMs.toFixed(1)} ms`);
    };
    this.#expect(host, dueMs, check);
  }

  setApi(host: Host, state: ApiState): void {
    this.note(host, `API server: ${state}`);
    host.api = state;
  }

  setBlind(host: Host, isBlind: boolean): void {
    this.note(host, isBlind ? 'its health checks get nowhere' : 'its health checks get through');
    host.isBlind = isBlind;
  }

  pause(host: Host): void {
    if (host.daemon === null || !host.daemon.isAwake) return;
    this.note(host, 'paused');
    host.daemon.pause();
    this.#expectLeaseToEnd(host);
  }

  resume(host: Host): void {
    host.daemon?.resume();
  }

  /** Something happens that no router does; for the trace. */
  note(host: Host | null, text: string): void {
    this.trace?.line(host?.setup.name ?? '', host?.daemon?.core.stateName ?? '-', `* ${text}`);
  }

  logged(daemon: Daemon, level: string, text: string): void {
    this.trace?.line(daemon.machine.setup.name, daemon.core.stateName, `${level}: ${text}`);
    const host = this.hosts[daemon.machine.setup.index]!;
    for (const watcher of this.#watchers) watcher.logged?.(host, level, text);
  }

  stepped(daemon: Daemon, step: Step): void {
    const { event, actions, from } = step;
    const host = this.hosts[daemon.machine.setup.index]!;
    const checker = this.checkerOf(host);
    const { healthClass } = checker;
    if (this.trace !== null && (event.type !== 'tick' || actions.length > 0)) {
      const text = actions.length === 0 ? '' : ` => ${describeActions(actions)}`;
      this.trace.line(host.setup.name, from, `${describeEvent(event)}${text}`);
    }
    checker.onStep(event, actions, from, host.clock.nowMs);
    this.#checkState(host, daemon, step);
    if (from === 'Active') this.#checkPunctuality(host, daemon);
    this.#expectResignationToEnd(host, daemon, event);
    if (isDisturbing(event, from, healthClass)) this.#tellDisturbed();
    if (actions.length > 0) this.#tell(host, from, actions);
  }

  resumed(daemon: Daemon, pausedMs: number): void {
    this.trace?.line(
      daemon.machine.setup.name,
      daemon.core.stateName,
      `* resumed after ${pausedMs.toFixed(1)} ms`,
    );
  }

  stopped(daemon: Daemon): void {
    const host = this.hosts[daemon.machine.setup.index]!;
    host.daemonEnded();
    this.note(host, 'the program has stopped');
    this.#tellDisturbed();
    this.#tellChanged();
  }

  #tell(host: Host, from: StateName, actions: readonly Action[]): void {
    let hasChanged = false;
    for (const action of actions) {
      if (action.type !== 'transition') continue;
      hasChanged = true;
      this.causes[action.cause.kind] = (this.causes[action.cause.kind] ?? 0) + 1;
      if (action.to === 'Active') this.#begin(host);
      const transition = { host, from, to: action.to, cause: action.cause };
      for (const watcher of this.#watchers) watcher.moved?.(transition);
    }
    if (hasChanged) this.#tellChanged();
  }

  #checkPunctuality(host: Host, daemon: Daemon): void {
    const awakeMs = this.nowMs - daemon.resumedAtMs;
    const lateMs = timerMs(this.scenario);
    // After a pause each announcement that is overdue takes a timer.
    if (!this.isActive(host) || awakeMs < daemon.options.advertisementIntervalMs + PUNCTUAL_TIMERS * lateMs)
      return;
    this.checkerOf(host).checkPunctuality(host.clock.nowMs, driftedMs(lateMs));
  }

  #tellDisturbed(): void {
    for (const watcher of this.#watchers) watcher.disturbed?.();
  }

  #tellChanged(): void {
    for (const watcher of this.#watchers) watcher.changed?.();
  }

  /** The address is bound only while the router is Active; and what it says of its state is what its actions were. */
  #checkState(host: Host, daemon: Daemon, { actions, from, to, deadlineMs }: Step): void {
    let expected = from;
    for (const action of actions) {
      if (action.type === 'transition') expected = action.to;
      if (action.type === 'unbind') this.#expectUnbinding(host, daemon, action.handedOver);
    }
    if (to !== expected) this.fail('transitions-told', `${host.setup.name} is ${to} without a transition`);
    if (to === 'Backup') this.checkerOf(host).checkDeadline(deadlineMs);
    if (to !== 'Initialize' && !Number.isFinite(deadlineMs)) {
      this.fail('deadline', `${host.setup.name} is ${to} and waits for nothing`);
    }
  }

  #send(from: number, to: number | null, frame: Frame): void {
    const { daemon, setup } = this.hosts[from]!;
    if (frame.kind === 'announcement' && daemon?.core.stateName !== 'Active')
      this.fail('silent-backup', `${setup.name} announces the VIP and is not Active`);
    for (const watcher of this.#watchers) watcher.sent?.(this.hosts[from]!, frame);
    this.link.send(from, to, frame);
  }

  /** A term as Active. */
  #begin(host: Host): void {
    const { index } = host.setup;
    this.#terms[index] = (this.#terms[index] ?? 0) + 1;
    if (!host.kernel.bound) this.#expectAddress(host);
  }

  #onAddressAdded(host: Host): void {
    for (const watcher of this.#watchers) watcher.bound?.(host);
    this.#tellChanged();
  }

  #onAddressRemoved(host: Host, by: RemovedBy): void {
    for (const watcher of this.#watchers) watcher.removed?.(host, by);
    this.note(host, `the VIP is removed from the kernel by ${by}`);
    const { daemon } = host;
    const awakeMs = this.nowMs - (daemon?.resumedAtMs ?? 0);
    const answeredMs = this.nowMs - host.kernel.slowUntilMs;
    const ran = daemon?.isAwake === true && awakeMs > RENEWED_MS && answeredMs > 1000 * LEASE_SECONDS;
    if (by === 'expiry' && ran && this.isActive(host)) {
      this.fail('lease-renewed', `the lease of ${host.setup.name} ran out while it was Active and running`);
    }
    if (this.isActive(host)) this.#expectAddress(host);
    this.#tellChanged();
  }

  /** The address is bound only while Active; it goes once the proxy has reset its clients' connections. */
  #expectUnbinding(host: Host, daemon: Daemon, handedOver: boolean): void {
    const sinceMs = this.nowMs;
    this.#leftAtMs[host.setup.index] = sinceMs;
    const check = (): void => {
      // It may have been Active again, and have left again.
      if (this.#leftAtMs[host.setup.index] !== sinceMs) return;
      const ran = host.daemon === daemon && daemon.isAwake && daemon.resumedAtMs <= sinceMs;
      if (ran && host.kernel.bound && !this.isActive(host)) {
        this.fail('bound-only-while-active', `${host.setup.name} is not Active and has the VIP bound`);
      }
    };
    this.#expect(host, releaseMs(handedOver), check);
  }

  /** A drain ends within a bound, and so does a stop: in a successor, in the same Active as before, or in none. */
  #expectResignationToEnd(host: Host, daemon: Daemon, event: RouterEvent): void {
    const resigningSinceMs = this.#resigningSinceMs;
    const { index } = host.setup;
    const isResigning = this.isActive(host) && daemon.core.priority === 0;
    if (!isResigning) resigningSinceMs[index] = null;
    // A stop during a drain has a time of its own.
    const isNew = (resigningSinceMs[index] ?? null) === null || event.type === 'shutdown';
    if (!isResigning || !isNew) return;
    const sinceMs = this.nowMs;
    resigningSinceMs[index] = sinceMs;
    const check = (): void => {
      const ran = host.daemon === daemon && daemon.isAwake && daemon.resumedAtMs <= sinceMs;
      if (!ran || resigningSinceMs[index] !== sinceMs) return;
      this.fail('resignation-ends', `${host.setup.name} still resigns after ${dueMs.toFixed(1)} ms`);
    };
    const dueMs = resignationMs(this.scenario, daemon.options.advertisementIntervalMs);
    this.schedule.after(dueMs, { run: check });
  }

  #expectLeaseToEnd(host: Host): void {
    const sinceMs = this.nowMs;
    const { daemon } = host;
    const dueMs = leaseOverMs(host);
    const check = (): void => {
      const isStill =
        daemon === null
          ? host.daemon === null && host.endedAtMs <= sinceMs
          : !daemon.isDead && daemon.pausedSinceMs === sinceMs;
      if (isStill && host.kernel.bound) {
        this.fail('lease-ends', `${host.setup.name} still has the VIP ${dueMs} ms after its daemon stopped`);
      }
    };
    // Only a host that is bound, for time is short in a simulation.
    if (host.kernel.bound) this.#expect(host, dueMs, check);
  }

  /**
   * An Active has what it advertises: where its kernel does not bind or renew the address, whatever the reason, it
   * gives way to a node whose kernel does.
   */
  #expectAddress(host: Host): void {
    const sinceMs = this.nowMs;
    const { daemon } = host;
    const { index } = host.setup;
    const term = this.#terms[index];
    const check = (): void => {
      const ran = host.daemon === daemon && daemon?.isAwake === true && daemon.resumedAtMs <= sinceMs;
      const isStill = this.isActive(host) && this.#terms[index] === term && !host.kernel.bound;
      if (!ran || !isStill || host.kernel.boundAtMs > sinceMs) return;
      this.fail(
        'active-without-address',
        `${host.setup.name} has been Active without the VIP for ${ABSENT_MS} ms`,
      );
    };
    this.schedule.after(ABSENT_MS + driftedMs(timerMs(this.scenario)), { run: check });
  }

  /** Checks after `dueMs`, or later by as much as one may wait for a kernel that has kept its callers waiting. */
  #expect(host: Host, dueMs: number, check: () => void): void {
    const sinceMs = this.nowMs;
    const run = (): void => {
      if (host.kernel.slowUntilMs < sinceMs) check();
      else this.#expect(host, dueMs + KERNEL_PATIENCE_MS, check);
    };
    this.schedule.after(dueMs, { run });
  }

  #ask(from: number, of: number): ApiState {
    if (this.hosts[from]!.isBlind) return 'failing';
    if (from === of) return this.hosts[of]!.api;
    return this.link.passes(from, of) && this.link.passes(of, from) ? this.hosts[of]!.api : 'hung';
  }
}

function isDisturbing(event: RouterEvent, from: StateName, classBefore: string): boolean {
  switch (event.type) {
    case 'health':
      return event.class !== classBefore;
    case 'addressLost':
      return from === 'Active';
    case 'advertisement':
    case 'tick':
      return false;
    default:
      return true;
  }
}
