/**
 * `npm run simulate -- --seeds N [--from S]`: plays N rounds, says how fast, and names every seed that fails (exit 1).
 * `npm run simulate -- --seed S [--trace]`: plays one round, readably.
 */
import { parseArgs } from 'node:util';
import type { Scenario } from './scenario.ts';
import { type Round, describeFailure, simulate } from './simulation.ts';

const DEFAULT_SEEDS = 2000;
/** All seeds that fail are named, but only the first ones are described. */
const MAX_DESCRIBED = 100;
const USAGE = 'usage: npm run simulate -- [--seeds N] [--from S] | --seed S [--trace]';

process.exitCode = main();

function main(): number {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: String(DEFAULT_SEEDS) },
      from: { type: 'string', default: '0' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
    },
  });
  const numbers = [values.seeds, values.from, values.seed ?? '0'].map(Number);
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) {
    console.error(USAGE);
    return 2;
  }
  const [seeds, from, seed] = numbers as [number, number, number];
  return values.seed === undefined ? playMany(from, seeds) : playOne(seed, values.trace);
}

function playMany(from: number, seeds: number): number {
  const beganMs = performance.now();
  let simulatedMs = 0;
  const failures: Round[] = [];
  for (let seed = from; seed < from + seeds; seed += 1) {
    const round = simulate(seed);
    simulatedMs += round.simulatedMs;
    if (round.failure === null) continue;
    failures.push(round);
    if (failures.length <= MAX_DESCRIBED) console.log(describeFailure(round));
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const hours = simulatedMs / 3_600_000;
  console.log(
    `${seeds} rounds from seed ${from} in ${seconds.toFixed(1)} s: ${(seeds / seconds).toFixed(0)} rounds/s, ${hours.toFixed(1)} simulated hours, ${failures.length} failed`,
  );
  if (failures.length > 0) console.log(`failing seeds: ${failures.map(({ seed }) => seed).join(' ')}`);
  return failures.length > 0 ? 1 : 0;
}

function playOne(seed: number, isTraced: boolean): number {
  const lines: string[] = [];
  const round = simulate(seed, isTraced ? { writeTrace: (line) => lines.push(line) } : {});
  for (const line of [...describeScenario(round.scenario), ...lines]) console.log(line);
  console.log(describeFailure(round));
  return round.failure === null ? 0 : 1;
}

function describeScenario(scenario: Scenario): string[] {
  const { plot, version, unicast, nodes, vip, quality, healthTimes } = scenario;
  const nodeLines = nodes.map(({ name, address, options }) => {
    const { priorities, advertisementIntervalMs, preempt, preemptDelayMs } = options;
    return `${name} ${address.text}: priorities ${priorities.A}/${priorities.B}/${priorities.C}, each ${advertisementIntervalMs} ms, preempt ${preempt} after ${preemptDelayMs} ms`;
  });
  return [
    `plot ${plot}: VRRP version ${version}, ${unicast ? 'unicast' : 'multicast'}, VIP ${vip.text}, checks each ${healthTimes.intervalMs} ms, link ${quality.delayMs.toFixed(3)} + ${quality.jitterMs.toFixed(3)} ms`,
    ...nodeLines,
  ];
}
