/** What a seed stands for: the nodes and how they are configured, the segment, and the plot. */
import type { CheckTimes } from '../../health/schedule.ts';
import { type Family, type IpAddress, parseIp } from '../../ip/address.ts';
import type { Authentication, VrrpVersion } from '../../vrrp/advertisement.ts';
import type { ChecksumForm } from '../../vrrp/checksum.ts';
import type { PreemptMode, VirtualRouterOptions } from '../../vrrp/events.ts';
import type { HealthClass } from '../../node/health-class.ts';
import { MAX_PRIORITIES, autoPriorities, configuredPriorities } from '../../vrrp/priority.ts';
import { RISE } from './health.ts';
import type { LinkQuality } from './link.ts';
import type { Random } from './random.ts';

/**
 * - `faults`: anything goes wrong at any time; then nothing does, and the nodes have to settle;
 * - `failover`: the Active is lost, and nothing else happens;
 * - `split`: the segment falls in two and grows together again, and nothing else happens;
 * - `handover`: nodes are stopped, drained and brought back, one after the other, and nothing else happens;
 * - `outage`: every API server fails and comes back, as in an etcd election, and nothing else happens.
 */
export type Plot = 'faults' | 'failover' | 'split' | 'handover' | 'outage';

export type NodeSetup = {
  readonly index: number;
  readonly name: string;
  readonly address: IpAddress;
  readonly options: VirtualRouterOptions;
  /** What its monotonic clock reads when the simulation begins. */
  readonly offsetMs: number;
  readonly driftRatio: number;
};

export type Scenario = {
  readonly plot: Plot;
  readonly version: VrrpVersion;
  readonly vrid: number;
  readonly vip: IpAddress;
  readonly unicast: boolean;
  readonly checksumForm: ChecksumForm;
  readonly authentication: Authentication;
  /** The addresses of all nodes, where they are configured; without them anybody on the link is believed. */
  readonly peers: readonly IpAddress[];
  readonly nodes: readonly NodeSetup[];
  readonly healthTimes: CheckTimes;
  /** The segment as it is without faults. */
  readonly quality: LinkQuality;
  /** How much a timer fires before or after its time. */
  readonly timerEarlyMs: number;
  readonly timerLateMs: number;
  /** The advertisement interval of most nodes; plots without faults have no other. */
  readonly intervalMs: number;
  /** The longest advertisement interval that any node has, or may get by a change of configuration. */
  readonly longestIntervalMs: number;
};

/** Clocks of a cluster differ by less (NTP corrects up to 500 ppm; CLOCK_MONOTONIC is slewed with it). */
export const MAX_DRIFT_RATIO = 0.001;
const MIN_NODES = 3;
const MAX_NODES = 5;
/** A month. */
const MAX_UPTIME_MS = 30 * 24 * 3_600_000;

const VIP: Readonly<Record<Family, IpAddress>> = {
  IPv4: parseIp('10.0.0.100')!,
  IPv6: parseIp('2001:db8::100')!,
};
/** On both sides of 127, where signed and unsigned octets part. */
const ADDRESSES: Readonly<Record<Family, readonly IpAddress[]>> = {
  IPv4: [1, 2, 9, 30, 126, 127, 128, 129, 200, 254].map((octet) => parseIp(`10.0.0.${octet}`)!),
  IPv6: [1, 2, 9, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x8000, 0xffff].map((group) =>
    parseIp(`fe80::${group.toString(16)}`)!,
  ),
};

/** Draws a scenario. Plots without faults are drawn so that their claims can be made. */
export function drawScenario(random: Random): Scenario {
  const plot = random.chance(0.5) ? 'faults' : random.pick<Plot>(['failover', 'split', 'handover', 'outage']);
  const count = random.integer(MIN_NODES, MAX_NODES);
  const intervalMs = random.pick([10, 100, 100, 1000]);
  const version: VrrpVersion = intervalMs === 1000 && random.chance(0.4) ? 2 : 3;
  const family: Family = version === 3 && random.chance(0.2) ? 'IPv6' : 'IPv4';
  const isMixed = plot === 'faults' && version === 3 && random.chance(0.15);
  const authenticated = version === 2 && random.chance(0.5);
  const addresses = random.shuffle(ADDRESSES[family]).slice(0, count);
  const unicast = random.chance(0.4);
  const knowsPeers = unicast || (family === 'IPv4' && random.chance(0.7));
  const checksIntervalMs = intervalMs === 10 ? 250 : 1000;
  const healthTimes = { intervalMs: checksIntervalMs, timeoutMs: 2 * checksIntervalMs, rise: RISE };
  return {
    plot,
    version,
    vrid: random.integer(1, 255),
    vip: VIP[family],
    unicast,
    checksumForm: random.chance(0.8) ? 'pseudo-header' : 'message',
    authentication: authenticated ? { type: 'pass', password: 'simulate' } : { type: 'none' },
    peers: knowsPeers ? addresses : [],
    nodes: drawNodes(random, { addresses, plot, version, intervalMs, isMixed }),
    healthTimes,
    quality: drawQuality(random, plot, intervalMs),
    timerEarlyMs: plot === 'faults' && random.chance(0.3) ? 0.7 : 0,
    timerLateMs: plot === 'faults' ? random.pick([0.1, 1, 2]) : 0.1,
    intervalMs,
    longestIntervalMs: isMixed ? 10 * intervalMs : intervalMs,
  };
}

type NodesDraw = {
  readonly addresses: readonly IpAddress[];
  readonly plot: Plot;
  readonly version: VrrpVersion;
  readonly intervalMs: number;
  readonly isMixed: boolean;
};

function drawNodes(random: Random, draw: NodesDraw): NodeSetup[] {
  const { addresses, plot, version, intervalMs, isMixed } = draw;
  // Under `always` a class C is preempted by whoever has not fallen yet: that is what it means.
  const modes: PreemptMode[] =
    plot === 'outage' ? ['unhealthy', 'never'] : ['unhealthy', 'unhealthy', 'never', 'always'];
  const preempt = random.pick(modes);
  const preemptDelayMs = random.chance(0.2) ? random.pick([0.5, 2, 10]) * intervalMs : 0;
  const priorities = drawPriorities(random, addresses.length, plot);
  return addresses.map((address, index) => ({
    index,
    name: `n${index + 1}`,
    address,
    options: {
      version,
      priorities: priorities[index]!,
      advertisementIntervalMs: isMixed && random.chance(0.4) ? random.pick([2, 10]) * intervalMs : intervalMs,
      preempt,
      preemptDelayMs,
      isAlone: false,
    },
    offsetMs: random.between(0, MAX_UPTIME_MS),
    driftRatio: random.between(-MAX_DRIFT_RATIO, MAX_DRIFT_RATIO),
  }));
}

function drawPriorities(random: Random, count: number, plot: Plot): Record<HealthClass, number>[] {
  const kind = random.integer(0, plot === 'faults' ? 9 : 7);
  const indices = Array.from({ length: count }, (_, index) => index);
  if (kind < 5) return random.shuffle(indices.map((index) => autoPriorities(index, count)));
  if (kind < 7)
    return random.shuffle(indices.map((index) => configuredPriorities(MAX_PRIORITIES - index * 7)));
  // The lowest of each class have the longest Skew_Time.
  if (kind < 8) return random.shuffle(indices.map((index) => configuredPriorities(1 + index * 7)));
  const common = random.integer(1, MAX_PRIORITIES);
  // All equal, or the same for all but one.
  return indices.map((index) =>
    configuredPriorities(kind === 8 || index > 0 ? common : random.integer(1, MAX_PRIORITIES)),
  );
}

function drawQuality(random: Random, plot: Plot, intervalMs: number): LinkQuality {
  // A segment is fast against the interval, or VRRP is not for it.
  const slowest = plot === 'faults' ? Math.min(5, intervalMs / 20) : 0.2;
  const delayMs = random.between(0.02, slowest / 2);
  const jitterMs = random.between(0, slowest / 2);
  return {
    delayMs,
    jitterMs,
    lossRate: 0,
    duplicateRate: 0,
    reorderRate: 0,
    heldBackMs: 0,
    flipRate: 0,
  };
}
