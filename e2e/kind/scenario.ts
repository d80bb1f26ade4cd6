/** What happens to the cluster in one scenario, and what must be true of it. */
import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import type { MachinesByHand } from './by-hand.ts';
import type { KindCluster } from './cluster.ts';
import { describeSince, type Effect, effectSince, expectMoves, type MoveCause } from './effect.ts';
import { settled } from './readiness.ts';
import type { Images } from './images.ts';

/**
 * Several control planes share a machine, which a pod that is replaced, or a node that starts, keeps busy for seconds.
 * So this only tells what kube-vrrp does from clients that wait for something slower (kubelet, leases: 10 s and more).
 * The figures are the lab's.
 */
export const OUTAGE_LIMIT_MS = 4000;
/** The same where something has to be missed, or to be found again, before anybody can answer. */
export const LOSS_OUTAGE_LIMIT_MS = 6000;
/**
 * How long a holder that is killed or frozen may keep the address, and the longest lease of a handover with its end.
 */
const OVERLAP_LIMIT_MS = 2500;

/** From the beginning of a scenario until everything is as it was. */
export type Limits = {
  /** The longest time that clients may be without an answer, ms; null where they cannot be answered. */
  readonly outageMs: number | null;
  /** Why the VIP moves: for this at least once, for nothing if null, or for whatever happens. */
  readonly moves: MoveCause | null | 'anyhow';
  /** Two holders are what the scenario is about. */
  readonly mayOverlap?: boolean;
};

export type Scenario = {
  /** For `--only`. */
  readonly name: string;
  /** One line for people. */
  readonly what: string;
  readonly limits: Limits;
  /**
   * Does it, checks what has to be true meanwhile, and puts everything back. Returns what was found besides, for the
   * table, or nothing.
   */
  readonly run: (cluster: KindCluster) => Promise<string>;
};

/** The same on machines that have no cluster yet. */
export type MachineScenario = Pick<Scenario, 'name' | 'what'> & {
  readonly run: (group: MachinesByHand, images: Images) => Promise<string>;
};

/**
 * Plays a scenario on a cluster that is settled, until it is again, and judges what everybody saw. Returns one line.
 */
export async function play(cluster: KindCluster, { limits, run }: Scenario): Promise<string> {
  const since = new Date();
  const fromMs = monotonicMs();
  const found = await run(cluster);
  await settled(cluster);
  const effect = effectSince(cluster, fromMs);
  if (effect.failed > 0) cluster.say(describeSince(cluster, fromMs));
  judge(effect, limits);
  if (limits.moves !== 'anyhow') await expectMoves(cluster, since, limits.moves);
  return [found, describeEffect(effect)].filter((text) => text !== '').join('; ');
}

function describeEffect(effect: Effect): string {
  const moves = effect.moves === 1 ? 'VIP moved once' : `VIP moved ${effect.moves} times`;
  const overlap = effect.overlapMs < 1 ? '' : `, in two kernels for ${effect.overlapMs.toFixed(0)} ms`;
  return `${describeDisruption(effect)}, ${moves}${overlap}`;
}

function judge(effect: Effect, { outageMs, mayOverlap = false }: Limits): void {
  if (outageMs !== null && effect.outageMs > outageMs) {
    throw new Error(`the outage may last ${outageMs} ms: ${describeEffect(effect)}`);
  }
  if (!mayOverlap && effect.overlapMs > OVERLAP_LIMIT_MS) {
    throw new Error(`two kernels may have a VIP for ${OVERLAP_LIMIT_MS} ms: ${describeEffect(effect)}`);
  }
}
