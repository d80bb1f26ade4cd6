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

/** Throws when more went wrong than is promised. */
export function expectEffect(
  effect: Effect,
  allowed: { readonly outageMs: number; readonly moves: number },
): void {
  const problems = [
    ...(effect.outageMs > allowed.outageMs ? [`the outage may last ${allowed.outageMs} ms`] : []),
    ...(effect.moves === allowed.moves ? [] : [`the VIP has to move ${allowed.moves} times`]),
  ];
  if (problems.length > 0) throw new Error(`${problems.join(' and ')}: ${describeEffect(effect)}`);
}
