/** The plots: what happens in a round, and what must then be true besides what always must. */
import { delayMs, failoverMs, longestDownMs, resignationMs, successorMs, timerMs } from './bounds.ts';
import { SUCCESSOR_PATIENCE_MS } from '../../vrrp/driver/successor.ts';
import { LEASE_RENEWAL_MS, LEASE_SECONDS } from '../../vrrp/lease.ts';
import type { Cluster } from './cluster.ts';
import { Faults, splitSegment } from './faults.ts';
import { type ApiState, FALL, recoveryMs } from './health.ts';
import type { Host } from './host.ts';
import type { Random } from './random.ts';
import { settle } from './settling.ts';
import { NoGap, NoMove, Succession, bestOf, priorityOf } from './watchers.ts';

/** Hosts boot within this. */
const BOOT_MS = 400;
const HANDOVERS = 4;

/** By advertisement interval: long enough for holds and health checks, short enough to play thousands of rounds. */
const FAULT_PHASE_MS: Readonly<Record<number, { readonly shortestMs: number; readonly longestMs: number }>> =
  {
    10: { shortestMs: 1500, longestMs: 6000 },
    100: { shortestMs: 5000, longestMs: 25_000 },
    1000: { shortestMs: 20_000, longestMs: 80_000 },
  };

/** Plays the scenario's plot. Throws CheckFailure. */
export function play(cluster: Cluster, random: Random): void {
  for (const host of cluster.hosts) {
    cluster.schedule.at(random.between(0, BOOT_MS), { run: () => cluster.start(host) });
  }
  switch (cluster.scenario.plot) {
    case 'faults':
      playFaults(cluster, random);
      break;
    case 'failover':
      playFailover(cluster, random);
      break;
    case 'split':
      playSplit(cluster, random);
      break;
    case 'handover':
      playHandover(cluster, random);
      break;
    case 'outage':
      playOutage(cluster, random);
      break;
  }
}

/** First safety, then liveness; and once more from where that has left the cluster. */
function playFaults(cluster: Cluster, random: Random): void {
  for (const host of cluster.hosts) {
    if (random.chance(0.15)) host.api = 'failing';
  }
  for (let phases = random.integer(1, 3); phases > 0; phases -= 1) {
    const faults = new Faults(cluster, random);
    faults.begin();
    const { shortestMs, longestMs } = FAULT_PHASE_MS[cluster.scenario.intervalMs]!;
    cluster.schedule.runUntil(cluster.nowMs + random.between(shortestMs, longestMs));
    faults.stop();
    settle(cluster);
  }
}

/** The Active is lost: exactly one Backup takes over, the best one, in time. */
function playFailover(cluster: Cluster, random: Random): void {
  settle(cluster);
  const { scenario, schedule } = cluster;
  const { intervalMs } = scenario;
  schedule.runUntil(cluster.nowMs + random.between(0, 2 * intervalMs));
  const lost = activeOf(cluster);
  const backups = cluster.hosts.filter((host) => host !== lost);
  const succession = new Succession(cluster, lost, backups);
  cluster.watch(succession);
  const comeBack = lose(cluster, random, lost);
  const lostAtMs = cluster.nowMs;
  const check = (): void =>
    succession.check(`${(cluster.nowMs - lostAtMs).toFixed(1)} ms after ${lost.setup.name} was lost`);
  schedule.runUntil(lostAtMs + failoverMs(scenario, priorityOf(bestOf(backups)), intervalMs));
  check();
  schedule.runUntil(lostAtMs + 2 * longestDownMs(scenario, intervalMs) + random.between(0, 3000));
  check();
  cluster.unwatch(succession);
  comeBack();
  settle(cluster);
}

/** In one of the ways in which an Active is lost; returns how it comes back. */
function lose(cluster: Cluster, random: Random, host: Host): () => void {
  const { index } = host.setup;
  switch (random.pick(['kill', 'pause', 'cut', 'isolate'])) {
    case 'kill':
      cluster.kill(host);
      return () => cluster.start(host);
    case 'pause':
      cluster.pause(host);
      return () => cluster.resume(host);
    case 'cut':
      cluster.note(host, 'no carrier');
      host.setCarrier(false);
      return () => host.setCarrier(true);
    default:
      cluster.note(host, 'cut off');
      for (const { setup } of cluster.hosts) {
        cluster.link.block(index, setup.index, 1);
        cluster.link.block(setup.index, index, 1);
      }
      return () => cluster.link.unblockAll();
  }
}

/** Each half gets an Active; when they are one again the better one stays, and everybody learns which. */
function playSplit(cluster: Cluster, random: Random): void {
  settle(cluster);
  for (let times = random.integer(1, 3); times > 0; times -= 1) {
    cluster.schedule.runUntil(cluster.nowMs + random.between(0, 2000));
    splitSegment(cluster, random);
    settle(cluster);
    cluster.schedule.runUntil(cluster.nowMs + random.between(0, 5000));
    cluster.note(null, 'the segment is one again');
    cluster.link.unblockAll();
    settle(cluster);
  }
}

/** Nodes are stopped, drained and brought back in turn: at no moment is the VIP bound nowhere. */
function playHandover(cluster: Cluster, random: Random): void {
  // Some serve with the others' API servers (class B), but somebody has one.
  for (const host of cluster.hosts.slice(1)) if (random.chance(0.3)) host.api = 'failing';
  settle(cluster);
  cluster.watch(new NoGap(cluster));
  for (let round = 0; round < HANDOVERS; round += 1) {
    cluster.schedule.runUntil(cluster.nowMs + random.between(0, 2 * cluster.scenario.intervalMs));
    const active = activeOf(cluster);
    if (random.chance(0.4)) beLate(cluster, random, active);
    const others = cluster.hosts.filter((host) => host !== active && cluster.isEligible(host));
    if (others.length > 0 && random.chance(0.6)) handOver(cluster, random, active, others);
    else if (others.length > 0 && random.chance(0.5)) cluster.setBlind(active, true);
    else bringBack(cluster, random);
    settle(cluster);
  }
}

/**
 * The node is busy for so long that its Active asks for patience. That is too short for Backups to take it for lost,
 * and for the kernel to take its address.
 */
function beLate(cluster: Cluster, random: Random, active: Host): void {
  const { schedule, scenario } = cluster;
  const { intervalMs } = scenario;
  const silentMs = random.between(2.2, 2.8) * intervalMs - timerMs(scenario);
  const lateAtMs = active.clock.simulatedMs(cluster.checkerOf(active).sentAtMs + silentMs);
  const outlastsLease = silentMs > 1000 * LEASE_SECONDS - LEASE_RENEWAL_MS;
  if (outlastsLease || silentMs <= 2 * intervalMs || lateAtMs <= cluster.nowMs) return;
  cluster.pause(active);
  schedule.runUntil(lateAtMs);
  cluster.resume(active);
  schedule.runUntil(cluster.nowMs + random.between(0, 3 * intervalMs) + delayMs(scenario));
}

/** After priority 0 there is a successor within Skew_Time and a delay; and only one. Then the other one is out. */
function handOver(cluster: Cluster, random: Random, active: Host, others: readonly Host[]): void {
  const { scenario, schedule } = cluster;
  // RFC 9568 6.1: Skew_Time goes by the interval that the Active names, which is longer after it was late.
  const intervalMs = Math.max(...others.map((host) => cluster.checkerOf(host).learnedLongestMs));
  const succession = new Succession(cluster, active, others);
  cluster.watch(succession);
  const sinceMs = cluster.nowMs;
  if (random.chance(0.3)) lockKernels(cluster, random, others);
  if (random.chance(0.5)) cluster.stop(active, true);
  else active.daemon?.give({ type: 'drain', force: false });
  const check = (): void =>
    succession.check(`${(cluster.nowMs - sinceMs).toFixed(1)} ms after ${active.setup.name} resigned`);
  schedule.runUntil(sinceMs + successorMs(scenario, priorityOf(bestOf(others)), intervalMs));
  check();
  schedule.runUntil(sinceMs + resignationMs(scenario, scenario.intervalMs));
  check();
  if (cluster.isActive(active)) cluster.fail('handover-ends', `${active.setup.name} is still Active`);
  cluster.unwatch(succession);
}

/**
 * Other programs change the network configuration on the nodes that may succeed, for less time than the old holder
 * waits: it keeps the VIP until the successor's kernel has it.
 */
function lockKernels(cluster: Cluster, random: Random, hosts: readonly Host[]): void {
  for (const host of hosts) {
    const durationMs = random.between(0, SUCCESSOR_PATIENCE_MS);
    cluster.note(host, `the kernel's configuration is locked for ${durationMs.toFixed(0)} ms`);
    host.kernel.hold(durationMs);
  }
}

function bringBack(cluster: Cluster, random: Random): void {
  for (const host of cluster.hosts) {
    if (random.chance(0.2)) continue;
    cluster.setBlind(host, false);
    if (host.daemon === null) cluster.start(host);
    else host.daemon.give({ type: 'undrain' });
  }
}

/** All API servers fail within moments of each other, and come back so: nobody moves. */
function playOutage(cluster: Cluster, random: Random): void {
  settle(cluster);
  const { schedule, scenario } = cluster;
  const { intervalMs, timeoutMs } = scenario.healthTimes;
  const state = random.pick<ApiState>(['failing', 'hung']);
  const noMove = new NoMove(cluster);
  cluster.watch(noMove);
  setApis(cluster, random, state);
  schedule.runUntil(
    cluster.nowMs + random.between(0.5, 2 * FALL) * intervalMs + (FALL + 1) * timeoutMs * random.unit(),
  );
  setApis(cluster, random, 'up');
  schedule.runUntil(cluster.nowMs + recoveryMs(scenario.healthTimes) + 4 * scenario.intervalMs);
  settle(cluster);
  cluster.unwatch(noMove);
}

/** "Moments": a fifth of a check's interval. */
function setApis(cluster: Cluster, random: Random, state: ApiState): void {
  const { intervalMs } = cluster.scenario.healthTimes;
  for (const host of cluster.hosts) {
    cluster.schedule.after(random.between(0, 0.2 * intervalMs), { run: () => cluster.setApi(host, state) });
  }
}

/** A settled cluster without faults has one. */
function activeOf(cluster: Cluster): Host {
  const active = cluster.hosts.find((host) => cluster.isActive(host));
  return active ?? cluster.fail('one-active', 'nobody is Active');
}
