/** How long things may take, derived. All in simulated milliseconds. */
import { outageGraceMs } from '../../health/schedule.ts';
import { recoveryMs } from './health.ts';
import { releaseMs } from './daemon.ts';
import { downMs, skewMs } from './router-checker.ts';
import { MAX_DRIFT_RATIO, type Scenario } from './scenario.ts';

/** From one host to another, without faults. */
export function delayMs({ quality }: Scenario): number {
  return quality.delayMs + quality.jitterMs;
}

/**
 * From a deadline of the core to its tick. The driver rounds up to whole milliseconds; a timer that fires early finds
 * nothing due and is set again, for at least one millisecond.
 */
export function timerMs({ timerEarlyMs, timerLateMs }: Scenario): number {
  return 1 + timerLateMs + (timerEarlyMs > 0 ? 1 + timerLateMs : 0);
}

/** What a duration of `durationMs` by a host's clock may be at most. */
export function driftedMs(durationMs: number): number {
  return durationMs * (1 + 2 * MAX_DRIFT_RATIO);
}

/** The largest Active_Down_Interval that there may be, with Actives that advertise each `intervalMs`. */
export function longestDownMs({ nodes, version }: Scenario, intervalMs: number): number {
  const lowest = Math.min(...nodes.map(({ options }) => options.priorities.C));
  return downMs(version, lowest, intervalMs);
}

/**
 * Until there is one Active for each component, from the last disturbance on:
 *
 * - where there is none, every eligible Backup's timer runs, and is due within the largest Active_Down_Interval (a
 *   timer
 *   that fires on a Backup that is not eligible is set again for no longer than that); then the tick has to come;
 * - several may promote themselves before they hear each other, and there may have been several before: each hears the
 *   others within one interval (for which a tick may be late too) and a delay, and all but one step down.
 */
export function oneActiveMs(scenario: Scenario, intervalMs: number): number {
  const downOrLate = longestDownMs(scenario, intervalMs) + timerMs(scenario);
  return driftedMs(downOrLate + intervalMs + timerMs(scenario)) + 2 * delayMs(scenario);
}

/**
 * From then on until the last move, which is a preemption. A Backup that is better hears the Active within an interval
 * and a delay; waits for the preempt delay, or under `unhealthy` until its own health counts: its checks have
 * recovered, nodes that shared its outage have had the grace to recover too, and a good check has begun after that;
 * hears the Active again; and then its timer, which was last set by what it heard before, has to run out. Several may
 * be better: each lets its timer run whichever of them is Active, so that the best one is there by the same time.
 */
export function lastMoveMs(scenario: Scenario, intervalMs: number): number {
  const { healthTimes, nodes } = scenario;
  const healthMs = recoveryMs(healthTimes) + outageGraceMs(healthTimes);
  const preemptDelayMs = Math.max(...nodes.map(({ options }) => options.preemptDelayMs));
  const hearMs = intervalMs + timerMs(scenario);
  const waitMs = Math.max(healthMs, preemptDelayMs) + longestDownMs(scenario, intervalMs) + timerMs(scenario);
  return driftedMs(2 * hearMs + waitMs) + 3 * delayMs(scenario);
}

/**
 * Two Actives at a time are right while one takes over from another that still lives (a preemption, a handover): the
 * new one advertises as it binds, and the old one unbinds when it hears that.
 */
export function overlapMs(scenario: Scenario): number {
  return delayMs(scenario) + 0.01;
}

/** From priority 0 until a successor has the VIP: Skew_Time of the best Backup, the delay, and its timer. */
export function successorMs(scenario: Scenario, bestPriority: number, intervalMs: number): number {
  const ownMs = skewMs(scenario.version, bestPriority, intervalMs) + timerMs(scenario);
  return driftedMs(ownMs) + delayMs(scenario);
}

/** From the loss of an Active until its successor has the VIP: its last word, and the best Backup's timer. */
export function failoverMs(scenario: Scenario, bestPriority: number, intervalMs: number): number {
  const ownMs = downMs(scenario.version, bestPriority, intervalMs) + timerMs(scenario);
  return driftedMs(ownMs) + delayMs(scenario);
}

/**
 * Whether the best of these Backups is so far ahead of the others that it alone promotes itself: the difference in skew
 * is more than what timers and the link may take from it, until its first advertisement is there.
 */
export function isBestAhead(scenario: Scenario, priorities: readonly number[], intervalMs: number): boolean {
  const [best, second] = priorities.toSorted((a, b) => b - a);
  if (best === undefined || second === undefined) return best !== undefined;
  const { version, quality } = scenario;
  const aheadMs = skewMs(version, second, intervalMs) - skewMs(version, best, intervalMs);
  const driftMs = 2 * MAX_DRIFT_RATIO * downMs(version, second, intervalMs);
  return aheadMs > timerMs(scenario) + delayMs(scenario) + quality.jitterMs + driftMs;
}

/** By when a resigning Active is out: it waits for a successor for twice its interval, or a second. */
export function resignationMs(scenario: Scenario, intervalMs: number): number {
  return driftedMs(2 * Math.max(intervalMs, 500) + timerMs(scenario)) + delayMs(scenario) + releaseMs(true);
}
