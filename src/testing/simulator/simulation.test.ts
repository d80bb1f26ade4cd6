import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import type { CauseKind } from '../../vrrp/events.ts';
import { VirtualRouter } from '../../vrrp/virtual-router.ts';
import type { Plot } from './scenario.ts';
import { describeFailure, simulate } from './simulation.ts';

const SEEDS = 2000;
const MAIN = `${import.meta.dirname}/main.ts`;

/** Every one there is: the compiler reports a missing one. False: the simulator cannot bring it about. */
const CAUSES: Readonly<Record<CauseKind, boolean>> = {
  started: true,
  link_up: true,
  active_silent: true,
  active_resigned: true,
  preempted_unhealthy: true,
  preempted_lower: true,
  outranked: true,
  stalled: true,
  link_down: true,
  handed_over: true,
  no_successor: true,
  stopped: true,
  bind_failed: true,
  renewal_failed: true,
  address_lost: true,
  lease_overdue: true,
};
const causesToSee = Object.entries(CAUSES).flatMap(([cause, isPlayed]) => (isPlayed ? [cause] : []));
const PLOTS: readonly Plot[] = ['faults', 'failover', 'split', 'handover', 'outage'];

function tracesOf(seed: number): string[] {
  const lines: string[] = [];
  simulate(seed, { writeTrace: (line) => lines.push(line) });
  return lines;
}

describe('the simulator', () => {
  test(`finds nothing in the first ${SEEDS} rounds, which play every plot and move routers for every cause`, () => {
    const rounds = Array.from({ length: SEEDS }, (_, seed) => simulate(seed));
    const failed = rounds.filter(({ failure }) => failure !== null);
    assert.deepEqual(failed.map(describeFailure), []);
    const causes = new Set(rounds.flatMap((round) => Object.keys(round.causes)));
    assert.deepEqual([...causes].toSorted(), causesToSee.toSorted());
    const plots = new Set(rounds.map(({ scenario }) => scenario.plot));
    assert.deepEqual([...plots].toSorted(), PLOTS.toSorted());
  });

  test('plays the same round twice, to the last event', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const first = tracesOf(seed);
      assert.ok(first.length > 100, `${first.length} lines`);
      assert.deepEqual(tracesOf(seed), first);
    }
  });

  test('plays another round for another seed', () => {
    assert.notDeepEqual(tracesOf(1), tracesOf(2));
  });

  test('says of a failure which rule is broken, when, in which round, and how to see it again', () => {
    const createRouter = (options: VirtualRouter['options']): VirtualRouter => {
      const router = new VirtualRouter(options);
      const step = router.step.bind(router);
      router.step = (event, nowMs) => step(event, nowMs).filter(({ type }) => type !== 'announce');
      return router;
    };
    const text = describeFailure(simulate(5, { createRouter }));
    assert.match(text, /^seed 5, [\d.]+ ms, promotion-announces: promoted from Backup with send, bind, tr/u);
    assert.match(text, /replay: npm run simulate -- --seed 5 --trace$/u);
  });

  test('takes a router that throws for a finding, too', () => {
    const createRouter = (options: VirtualRouter['options']): VirtualRouter => {
      const router = new VirtualRouter(options);
      router.step = () => {
        throw new TypeError('out of range');
      };
      return router;
    };
    assert.match(describeFailure(simulate(5, { createRouter })), /throws: TypeError: out of range/u);
  });
});

describe('npm run simulate', () => {
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

  test('--seeds N --from S plays N rounds and says how fast', () => {
    const { status, stdout } = run('--seeds', '5', '--from', '10');
    assert.match(stdout, /^5 rounds from seed 10 in [\d.]+ s: \d+ rounds\/s, .* 0 failed\n$/u);
    assert.equal(status, 0);
  });

  test('--seed S --trace replays one round: time, host, state, event, actions', () => {
    const { status, stdout } = run('--seed', '3', '--trace');
    assert.match(stdout, /^plot \w+: VRRP version \d/u);
    assert.match(
      stdout,
      /^ +[\d.]+ {2}n\d +Backup +tick => send \d+, bind, announce, Backup -> Active \(active_silent: .*\)$/mu,
    );
    assert.match(stdout, /seed 3: nothing found\n$/u);
    assert.equal(status, 0);
  });

  test('a bad number is a usage error', () => {
    const { status, stderr } = run('--seeds', 'many');
    assert.match(stderr, /^usage: npm run simulate/u);
    assert.equal(status, 2);
  });
});
