import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { HolderTimeline } from './holders.ts';

const VIP = '192.168.100.10';

function timeline(...samples: readonly [number, ...string[][]][]): HolderTimeline {
  const made = new HolderTimeline();
  for (const [atMs, holders] of samples) {
    made.record(holders === undefined ? { atMs } : { atMs, beforeMs: atMs, holders: { [VIP]: holders } });
  }
  return made;
}

describe('timeline of holders', () => {
  test('an overlap lasts until the next change, through pictures with different pairs', () => {
    const made = timeline([0, ['a']], [10, ['a', 'b']], [20, ['b', 'c']], [50, ['c']], [90]);
    assert.equal(made.longestOverlapMs(VIP), 40);
    assert.equal(made.longestVacancyMs(VIP), 0);
  });

  test('an overlap that has not ended counts until the latest look', () => {
    assert.equal(timeline([0, ['a']], [10, ['a', 'b']], [200]).longestOverlapMs(VIP), 190);
  });

  test('an overlap seen in one look only is not nothing', () => {
    assert.ok(timeline([0, ['a']], [10, ['a', 'b']]).longestOverlapMs(VIP) > 0);
  });

  test('an overlap ends with the last look that saw it, however late the next look is', () => {
    const made = timeline([0, ['a']], [10, ['a', 'b']]);
    made.record({ atMs: 400, beforeMs: 30, holders: { [VIP]: ['b'] } });
    assert.equal(made.longestOverlapMs(VIP), 20);
    assert.deepEqual(
      made.spans(VIP, 100).map(({ fromMs }) => fromMs),
      [400],
    );
  });

  test('what was before the given time does not count', () => {
    const made = timeline([0, ['a', 'b']], [100, ['a']], [200, []], [230, ['b']], [300]);
    assert.equal(made.longestOverlapMs(VIP, 150), 0);
    assert.equal(made.longestOverlapMs(VIP, 60), 40);
    assert.equal(made.longestVacancyMs(VIP, 150), 30);
    assert.deepEqual(made.spans(VIP, 150), [
      { fromMs: 150, toMs: 200, holders: ['a'] },
      { fromMs: 200, toMs: 230, holders: [] },
      { fromMs: 230, toMs: 300, holders: ['b'] },
    ]);
  });

  test('a span that ends at the given time is past; the latest picture is not', () => {
    const made = timeline([0, []], [100, ['a']], [200]);
    assert.deepEqual(made.spans(VIP, 100), [{ fromMs: 100, toMs: 200, holders: ['a'] }]);
    const latest = timeline([0, []], [100, ['a']]);
    assert.deepEqual(latest.spans(VIP, 100), [{ fromMs: 100, toMs: 100, holders: ['a'] }]);
  });

  test('a change of another VIP splits nothing', () => {
    const made = new HolderTimeline();
    made.record({ atMs: 0, beforeMs: 0, holders: { [VIP]: ['a'], other: [] } });
    made.record({ atMs: 10, beforeMs: 10, holders: { [VIP]: ['a'], other: ['b'] } });
    made.record({ atMs: 30 });
    assert.deepEqual(made.spans(VIP), [{ fromMs: 0, toMs: 30, holders: ['a'] }]);
  });
});
