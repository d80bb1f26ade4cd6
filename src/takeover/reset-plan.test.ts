import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Prompt, ResetPlan } from './reset-plan.ts';

const clients = (count: number): string[] => Array.from({ length: count }, (_, index) => `client ${index}`);

type Sent = Prompt & { readonly atMs: number };

/** Runs a plan to its end, calling it each `stepMs`; `onPrompt` may answer. */
function run(plan: ResetPlan, stepMs: number, onPrompt: (prompt: Prompt) => void = () => {}): Sent[] {
  const sent: Sent[] = [];
  for (let nowMs = 0; !plan.isOver(nowMs); nowMs += stepMs) {
    assert.ok(nowMs < 60_000, 'the plan does not end');
    for (const prompt of plan.due(nowMs)) {
      sent.push({ ...prompt, atMs: nowMs });
      onPrompt(prompt);
    }
  }
  return sent;
}

describe('the plan of a takeover', () => {
  test('each client that never answers is prompted three times, in order, then it is over', () => {
    const plan = new ResetPlan(clients(100), 0);
    const sent = run(plan, 5);
    assert.equal(sent.length, 300);
    assert.deepEqual(plan.fates, { told: 0, gone: 0, elsewhere: 0, silent: 100 });
    assert.deepEqual(
      sent.filter(({ round }) => round === 0).map(({ key }) => key),
      clients(100),
    );
  });

  test('one that answers is prompted no more', () => {
    const plan = new ResetPlan(clients(100), 0);
    const sent = run(plan, 5, ({ key }) => {
      if (key !== 'client 0') plan.settle(key, key === 'client 1' ? 'gone' : 'told');
      plan.settle(key, 'gone'); // a second answer changes nothing
    });
    assert.equal(sent.length, 100);
    assert.deepEqual(plan.fates, { told: 98, gone: 2, elsewhere: 0, silent: 0 });
  });

  test('at most 5,000 a second, whatever the timer does, and 1,000 clients within 300 ms', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 5000 }), (stepMs, count) => {
        const sent = run(new ResetPlan(clients(count), 0), stepMs);
        for (const { atMs } of sent) {
          const within = sent.filter((other) => other.atMs <= atMs && other.atMs > atMs - 1000).length;
          assert.ok(within <= 5000 + 250, `${within} within a second`);
        }
        assert.equal(sent.length, 3 * count);
      }),
      { numRuns: 10 },
    );
    const sent = run(new ResetPlan(clients(1000), 0), 5);
    assert.ok(sent.filter(({ round, atMs }) => round === 0 && atMs <= 300).length === 1000);
  });

  test('with nobody to prompt it is over at once', () => {
    assert.ok(new ResetPlan([], 0).isOver(0));
  });
});
