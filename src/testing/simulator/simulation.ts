/** One round: a seed decides everything, and the answer is what was found. */
import type { CauseKind } from '../../vrrp/events.ts';
import { VirtualRouter } from '../../vrrp/virtual-router.ts';
import { Cluster } from './cluster.ts';
import type { CreateRouter } from './daemon.ts';
import { CheckFailure } from './failure.ts';
import { play } from './plots.ts';
import { Random, STREAMS } from './random.ts';
import { type Scenario, drawScenario } from './scenario.ts';

export type Round = {
  readonly seed: number;
  readonly scenario: Scenario;
  /** How much time passed in it. */
  readonly simulatedMs: number;
  /** How often which cause has moved a router. */
  readonly causes: Readonly<Partial<Record<CauseKind, number>>>;
  readonly failure: Failure | null;
};

type Failure = {
  /** Which rule is broken. */
  readonly checker: string;
  readonly atMs: number;
  readonly text: string;
};

export type SimulateOptions = {
  /** The real router, or one with a planted bug. */
  readonly createRouter?: CreateRouter;
  readonly writeTrace?: (line: string) => void;
};

const createRealRouter: CreateRouter = (options) => new VirtualRouter(options);

/**
 * Plays the round of this seed (0 to 2 ** 32 - 1). The same seed and routers give the same round, to the last event.
 */
export function simulate(seed: number, options: SimulateOptions = {}): Round {
  const { createRouter = createRealRouter, writeTrace = null } = options;
  const scenario = drawScenario(new Random(seed, STREAMS.scenario));
  const cluster = new Cluster({
    randomOf: (stream) => new Random(seed, stream),
    scenario,
    createRouter,
    writeTrace,
  });
  const failure = findFailure(cluster, new Random(seed, STREAMS.plot));
  return { seed, scenario, simulatedMs: cluster.nowMs, causes: cluster.causes, failure };
}

function findFailure(cluster: Cluster, random: Random): Failure | null {
  try {
    play(cluster, random);
    return null;
  } catch (error) {
    if (error instanceof CheckFailure) {
      return { checker: error.checker, atMs: error.atMs, text: error.message };
    }
    // A router that throws is a bug as any other; the stack says where.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { checker: 'throws', atMs: cluster.nowMs, text };
  }
}

/** What is wrong, when, in which round, and how to see it again. */
export function describeFailure({ seed, failure }: Round): string {
  if (failure === null) return `seed ${seed}: nothing found`;
  const { checker, atMs, text } = failure;
  return `seed ${seed}, ${atMs.toFixed(3)} ms, ${checker}: ${text}\n  replay: npm run simulate -- --seed ${seed} --trace`;
}
