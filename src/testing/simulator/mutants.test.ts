import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MUTANTS, type Mutant } from './mutants.ts';
import { describeFailure, simulate } from './simulation.ts';

/** Within this many rounds; most are found in the first ones. */
const SEEDS = 400;

function findMutant({ createRouter }: Mutant): string | null {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const round = simulate(seed, { createRouter });
    if (round.failure === null) continue;
    assert.notEqual(round.failure.checker, 'throws', describeFailure(round));
    return round.failure.checker;
  }
  return null;
}

describe(`a planted bug is found within ${SEEDS} rounds, by a rule that it breaks`, () => {
  for (const mutant of MUTANTS) {
    test(mutant.name, () => {
      const checker = findMutant(mutant);
      assert.ok(checker !== null && mutant.breaks.includes(checker), `found by ${checker}`);
    });
  }
});
