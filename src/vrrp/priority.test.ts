import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type HealthClass,
  MAX_AUTO_PEERS,
  autoPriorities,
  classOfPriority,
  configuredPriorities,
} from './priority.ts';

const CLASSES: readonly HealthClass[] = ['A', 'B', 'C'];

test('auto: every node of up to 63 has its own priority in each band', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_AUTO_PEERS }), (count) => {
      const nodes = Array.from({ length: count }, (_, index) => autoPriorities(index, count));
      for (const healthClass of CLASSES) {
        const priorities = nodes.map((node) => node[healthClass]);
        assert.equal(new Set(priorities).size, count);
        for (const priority of priorities) assert.equal(classOfPriority(priority), healthClass);
      }
    }),
  );
});

test('auto: the first in peers is the highest', () => {
  assert.deepEqual(autoPriorities(0, 3), { A: 254, B: 127, C: 63 });
  assert.deepEqual(autoPriorities(2, 3), { A: 170, B: 85, C: 21 });
});

test('a configured number keeps its order within each band and never leaves it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 253 }), (priority) => {
      for (const healthClass of CLASSES) {
        const lower = configuredPriorities(priority)[healthClass];
        const higher = configuredPriorities(priority + 1)[healthClass];
        assert.ok(lower <= higher);
        assert.equal(classOfPriority(lower), healthClass);
        assert.equal(classOfPriority(higher), healthClass);
      }
    }),
  );
});

test("kubeadm's guide uses 101 and 100: they stay apart", () => {
  assert.ok(configuredPriorities(101).A > configuredPriorities(100).A);
});
