/**
 * What an interaction script acts on: nodes of the simulator without chance. Every delay is the mean of what it may be,
 * clocks agree, and the segment is fast, so a script has one output. The simulator checks all its rules.
 */
import { parseIp } from '../../ip/address.ts';
import { HEALTH_CLASSES } from '../../node/health-class.ts';
import { autoPriorities } from '../../vrrp/priority.ts';
import type { PreemptMode } from '../../vrrp/events.ts';
import { VirtualRouter } from '../../vrrp/virtual-router.ts';
import { Cluster } from '../simulator/cluster.ts';
import type { ApiState } from '../simulator/health.ts';
import type { Host } from '../simulator/host.ts';
import { Random } from '../simulator/random.ts';
import type { Scenario } from '../simulator/scenario.ts';
import { Recorder } from './recorder.ts';

/** Chance that always takes the middle. */
class Middle extends Random {
  override unit(): number {
    return 0.5;
  }
}

/** Why a command cannot be carried out; thrown to `run`. */
class Problem extends Error {}

type Command = (stage: Stage, args: readonly string[]) => void;

const API_STATES = ['up', 'failing', 'hung'] as const satisfies readonly ApiState[];
const PREEMPT_MODES = ['never', 'unhealthy', 'always'] as const satisfies readonly PreemptMode[];
const MOST_NODES = 9;

/** By their first word. */
const COMMANDS: Readonly<Record<string, Command>> = {
  /** nodes 3 [interval 100ms] [preempt unhealthy]: as many nodes, all of which start. */
  nodes: (stage, args) => stage.begin(args),
  /** advance 400ms: time passes. */
  advance: (stage, [duration]) => stage.advance(msOf(duration)),
  /** state: a line for each node. */
  state: (stage) => stage.recorder.describe(),
  start: (stage, [name]) => stage.cluster.start(stage.host(name)),
  kill: (stage, [name]) => stage.cluster.kill(stage.host(name)),
  /** stop n1: SIGTERM. */
  stop: (stage, [name]) => stage.cluster.stop(stage.host(name), true),
  drain: (stage, [name, force]) =>
    stage.daemon(name).give({ type: 'drain', force: oneOf([undefined, 'force'], force) === 'force' }),
  undrain: (stage, [name]) => stage.daemon(name).give({ type: 'undrain' }),
  /** stall n1 600ms: the process does not run for so long. */
  stall: (stage, [name, duration]) => stage.stall(stage.host(name), msOf(duration)),
  /** cut n1, plug n1: the interface loses its carrier, or has it again. */
  cut: (stage, [name]) => stage.host(name).setCarrier(false),
  plug: (stage, [name]) => stage.host(name).setCarrier(true),
  /** rename n1 eth1; mac n1 5: the interface has another name, or another hardware address. */
  rename: (stage, [name, to]) => stage.host(name).changeLink({ name: to ?? missing('a name') }),
  mac: (stage, [name, octet]) =>
    stage.host(name).changeLink({ mac: Uint8Array.of(2, 0, 0, 0, 1, wholeOf(octet)) }),
  /** split n1 | n2 n3: the segment falls into these parts; heal: it is whole. */
  split: (stage, args) => stage.split(args),
  heal: (stage) => stage.cluster.link.unblockAll(),
  /** class n1 C: its health is this, whatever its checks say. */
  class: (stage, [name, to]) => stage.daemon(name).pinHealth(oneOf(HEALTH_CLASSES, to)),
  /** api n1 failing: its API server is up, answers checks badly (failing) or never (hung). */
  api: (stage, [name, to]) => stage.cluster.setApi(stage.host(name), oneOf(API_STATES, to)),
  /** remove n1: another program removes the VIP. */
  remove: (stage, [name]) => stage.removeVip(stage.host(name)),
  /** lock n1 2s: another program holds the lock of the kernel's network configuration (rtnl) for so long. */
  lock: (stage, [name, duration]) => stage.host(name).kernel.hold(msOf(duration)),
  /** refuse n1, allow n1: its kernel refuses to bind and renew; and no longer. */
  refuse: (stage, [name]) => stage.refuse(name, true),
  allow: (stage, [name]) => stage.refuse(name, false),
  /** break n1: its sockets fail, and none can be opened; mend n1: they can. */
  break: (stage, [name]) => stage.breakSockets(stage.host(name)),
  mend: (stage, [name]) => stage.mendSockets(stage.host(name)),
};

export class Stage {
  #cluster: Cluster | null = null;
  #recorder: Recorder | null = null;

  /** Carries out one command. Returns what is wrong with it, or null. */
  run(line: string): string | null {
    const [word = '', ...args] = line.split(/\s+/u);
    const command = COMMANDS[word];
    if (command === undefined) return `there is no command ${word}`;
    try {
      command(this, args);
      return null;
    } catch (error) {
      if (error instanceof Problem) return error.message;
      throw error;
    }
  }

  /** What has happened since it was last called, a line each. */
  takeOutput(): string[] {
    return this.#recorder?.take() ?? [];
  }

  get cluster(): Cluster {
    return this.#cluster ?? fail('nodes come first');
  }

  get recorder(): Recorder {
    return this.#recorder ?? fail('nodes come first');
  }

  host(name: string | undefined): Host {
    return this.cluster.hosts.find(({ setup }) => setup.name === name) ?? fail(`there is no node ${name}`);
  }

  daemon(name: string | undefined): NonNullable<Host['daemon']> {
    return this.host(name).daemon ?? fail(`${name} does not run`);
  }

  begin([count, ...settings]: readonly string[]): void {
    if (this.#cluster !== null) fail('there are nodes already');
    const scenario = scenarioOf(wholeOf(count), settings);
    this.#cluster = new Cluster({
      randomOf: () => new Middle(0),
      scenario,
      createRouter: (options) => new VirtualRouter(options),
      writeTrace: null,
    });
    this.#recorder = new Recorder(this.#cluster);
    for (const host of this.#cluster.hosts) this.#cluster.start(host);
  }

  advance(durationMs: number): void {
    const { schedule } = this.cluster;
    schedule.runUntil(schedule.nowMs + durationMs);
  }

  stall(host: Host, durationMs: number): void {
    const { cluster } = this;
    cluster.pause(host);
    cluster.schedule.after(durationMs, { run: () => cluster.resume(host) });
  }

  split(args: readonly string[]): void {
    const parts = args
      .join(' ')
      .split('|')
      .map((part) =>
        part
          .trim()
          .split(/\s+/u)
          .map((name) => this.host(name)),
      );
    const partOf = (host: Host): number => parts.findIndex((part) => part.includes(host));
    const { hosts, link } = this.cluster;
    for (const from of hosts) {
      if (partOf(from) === -1) fail(`${from.setup.name} is in no part`);
      for (const to of hosts) {
        if (partOf(from) !== partOf(to)) link.block(from.setup.index, to.setup.index, 1);
      }
    }
  }

  removeVip({ kernel }: Host): void {
    kernel.change(() => void kernel.remove('somebody'));
  }

  refuse(name: string | undefined, refuses: boolean): void {
    this.host(name).kernel.refuses = refuses;
  }

  breakSockets(host: Host): void {
    host.refusesSockets = true;
    host.daemon?.failSockets();
  }

  mendSockets(host: Host): void {
    host.refusesSockets = false;
  }
}

function fail(text: string): never {
  throw new Problem(text);
}

function missing(what: string): never {
  return fail(`${what} is missing`);
}

function wholeOf(text: string | undefined): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 0 ? number : fail(`${text} is not a whole number`);
}

/** `400ms`, `2s` */
function msOf(text: string | undefined): number {
  const [, number, unit] = /^(\d+)(ms|s)$/u.exec(text ?? '') ?? fail(`${text} is not a duration`);
  return Number(number) * (unit === 's' ? 1000 : 1);
}

function oneOf<Value>(values: readonly Value[], text: string | undefined): Value {
  const found = values.find((value) => value === text);
  return values.some((value) => value === text)
    ? (found as Value)
    : fail(`${text} is none of ${values.join(', ')}`);
}

function scenarioOf(count: number, settings: readonly string[]): Scenario {
  if (count < 1 || count > MOST_NODES) fail(`there may be 1 to ${MOST_NODES} nodes`);
  const setting = (name: string): string | undefined => {
    const at = settings.indexOf(name);
    return at === -1 ? undefined : settings[at + 1];
  };
  const intervalMs = msOf(setting('interval') ?? '100ms');
  const preempt = oneOf(PREEMPT_MODES, setting('preempt') ?? 'unhealthy');
  const addresses = Array.from({ length: count }, (_, index) => parseIp(`10.0.0.${index + 1}`)!);
  return {
    plot: 'faults',
    version: 3,
    vrid: 51,
    vip: parseIp('10.0.0.100')!,
    unicast: false,
    checksumForm: 'pseudo-header',
    authentication: { type: 'none' },
    peers: addresses,
    nodes: addresses.map((address, index) => ({
      index,
      name: `n${index + 1}`,
      address,
      options: {
        version: 3,
        priorities: autoPriorities(index, count),
        advertisementIntervalMs: intervalMs,
        preempt,
        preemptDelayMs: 0,
        isAlone: count === 1,
      },
      offsetMs: 0,
      driftRatio: 0,
    })),
    healthTimes: { intervalMs: 1000, timeoutMs: 2000, rise: 2 },
    quality: {
      delayMs: 0.1,
      jitterMs: 0,
      lossRate: 0,
      duplicateRate: 0,
      reorderRate: 0,
      heldBackMs: 0,
      flipRate: 0,
    },
    timerEarlyMs: 0,
    timerLateMs: 0,
    intervalMs,
    longestIntervalMs: intervalMs,
  };
}
