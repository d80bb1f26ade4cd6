/**
 * Rounds that found a defect. Each has what it was, and what the trace still has to show for the round to be about it:
 * a change in the simulator gives every seed another round, and then another seed has to be found for it (take the
 * defect back and play some thousand rounds).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFailure, simulate } from './simulation.ts';

type Regression = { readonly seed: number; readonly defect: string; readonly shows: RegExp };

const REGRESSIONS: readonly Regression[] = [
  {
    seed: 81,
    defect:
      'a bind that failed while a stopping Active waited for its successor made it a Backup, and it never ended',
    shows:
      / (n\d) +Active +shutdown: SIGTERM => send 0\n[^]* \1 +Active +bindFailed: [^\n]*Active -> Initialize/u,
  },
  {
    seed: 198,
    defect: 'so did an address that was removed again and again meanwhile',
    shows:
      / (n\d) +Active +shutdown: SIGTERM => send 0\n[^]* \1 +Active +addressLost: [^\n]*Active -> Initialize/u,
  },
  {
    seed: 62,
    defect: 'a drain after SIGTERM took the stop back: the router handed over, and went on as Backup',
    shows: / (n\d) +Active +shutdown: SIGTERM => send 0\n[^]* \1 +Active +drain(?: by force)?\n/u,
  },
  {
    seed: 12,
    defect:
      'two Actives met as a split ended; the one that stayed noticed nothing, so neighbors kept the other one',
    shows: /the segment is one again\n[^]*=> send \d+, unbind, Active -> Backup \(outranked/u,
  },
  {
    seed: 76,
    defect:
      'after an outage of all API servers, who recovered first took over from who recovered a second later',
    shows: /API server: up\n[^]* Backup +health [AB],[^]* Active +health [AB],/u,
  },
  {
    seed: 1527,
    defect:
      'an outage ended just as nodes fell to C; a Backup that had seen one failure less took over from the Active',
    shows: /API server: up\n[^]* Active +health C,[^]* Active +health [AB],/u,
  },
  {
    seed: 2854,
    defect: 'the same, with other nodes',
    shows: /API server: up\n[^]* Active +health C,[^]* Active +health [AB],/u,
  },
];

describe('rounds that found a defect', () => {
  for (const { seed, defect, shows } of REGRESSIONS) {
    test(`seed ${seed}: ${defect}`, () => {
      const lines: string[] = [];
      const round = simulate(seed, { writeTrace: (line) => lines.push(line) });
      assert.equal(round.failure, null, describeFailure(round));
      assert.match(`${lines.join('\n')}\n`, shows);
    });
  }
});
