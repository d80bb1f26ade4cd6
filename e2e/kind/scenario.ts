/** What happens to the cluster in one scenario, and what must be true of it. */
import { describeDisruption } from '../lab/client.ts';
import type { MachinesByHand } from './by-hand.ts';
import type { Effect, KindCluster } from './cluster.ts';
import type { Images } from './images.ts';

export type Scenario = {
  /** For `--only`. */
  readonly name: string;
  /** One line for people. */
  readonly what: string;
  /**
   * Does it, checks what has to be true meanwhile, and puts everything back. Returns what was measured, for the table.
   * That the cluster is whole again afterwards is checked by the runner.
   */
  readonly run: (cluster: KindCluster) => Promise<string>;
};

/** The same on machines that have no cluster yet. */
export type MachineScenario = Pick<Scenario, 'name' | 'what'> & {
  readonly run: (group: MachinesByHand, images: Images) => Promise<string>;
};

export function describeEffect(effect: Effect): string {
  const moves = effect.moves === 1 ? 'VIP moved once' : `VIP moved ${effect.moves} times`;
  const overlap = effect.overlapMs < 1 ? '' : `, in two kernels for ${effect.overlapMs.toFixed(0)} ms`;
  return `${describeDisruption(effect)}, ${moves}${overlap}`;
}

/** Throws when clients were without an answer for longer than this. */
export function expectOutage(effect: Effect, limitMs: number): void {
  if (effect.outageMs > limitMs) {
    throw new Error(`the outage may last ${limitMs} ms: ${describeEffect(effect)}`);
  }
}
