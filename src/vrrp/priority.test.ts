import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HEALTH_CLASSES } from '../node/health-class.ts';
import { MAX_PRIORITIES, autoPriorities, classOfPriority, configuredPriorities } from './priority.ts';

const CLASSES = HEALTH_CLASSES;

test('auto: every node of up to 31 has its own priority in each band', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_PRIORITIES }), (count) => {
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
  assert.deepEqual(autoPriorities(0, 3), { A: 254, B: 127, U: 63, C: 31 });
  assert.deepEqual(autoPriorities(2, 3), { A: 170, B: 85, U: 43, C: 11 });
});

test('configured numbers that differ are advertised as priorities that differ, in order, within each band', () => {
  for (const healthClass of CLASSES) {
    const priorities = Array.from(
      { length: MAX_PRIORITIES },
      (_, index) => configuredPriorities(index + 1)[healthClass],
    );
    assert.equal(new Set(priorities).size, MAX_PRIORITIES);
    assert.deepEqual(
      priorities,
      priorities.toSorted((a, b) => a - b),
    );
    for (const priority of priorities) assert.equal(classOfPriority(priority), healthClass);
  }
});

test('a configured number means what the schema says of it', () => {
  for (const number of [1, 10, 20, 31]) {
    assert.deepEqual(configuredPriorities(number), {
      A: 130 + 4 * number,
      B: 65 + 2 * number,
      U: 32 + number,
      C: number,
    });
  }
});
