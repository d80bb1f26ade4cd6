import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HUNG_MS, Supervision, hungThreads, wedgedThreads } from './supervision.ts';

const LIVELY = { services: 100, network: 100, proxy0: 100 };
const LOOK_MS = 250;

/** Looks at the same signs every LOOK_MS until `untilMs`, and returns the last verdict. */
function lookUntil(supervision: Supervision, ages: Record<string, number>, untilMs: number) {
  let verdict = supervision.look(ages, 0);
  for (let nowMs = LOOK_MS; nowMs <= untilMs; nowMs += LOOK_MS) verdict = supervision.look(ages, nowMs);
  return verdict;
}

test('a proxy thread that has not moved for more than a second makes the node class C', () => {
  const supervision = new Supervision(5000);
  assert.equal(supervision.look({ ...LIVELY, proxy0: HUNG_MS }, 0).impediment, null);
  const { impediment, doom } = supervision.look({ ...LIVELY, proxy0: HUNG_MS + 1 }, LOOK_MS);
  assert.equal(impediment, 'the proxy0 thread has not moved for 1251 ms');
  assert.equal(doom, null);
});

test('a thread that has not moved for more than ten seconds ends the process', () => {
  const { doom } = new Supervision(5000).look({ ...LIVELY, services: 10_001 }, 0);
  assert.equal(doom, 'the services thread has not moved for 10001 ms');
});

test('the network thread may wait for the kernel: that is no impediment, and a reason to restart after a minute only', () => {
  assert.deepEqual(hungThreads({ ...LIVELY, network: 59_000 }), []);
  assert.deepEqual(wedgedThreads({ ...LIVELY, network: 59_000 }), []);
  assert.equal(wedgedThreads({ ...LIVELY, network: 61_000 }).length, 1);
  assert.deepEqual(new Supervision(5000).look({ ...LIVELY, network: 61_000 }, 0), {
    impediment: null,
    doom: null,
  });
});

test('health that is older than its limit no longer counts, until the next report', () => {
  const supervision = new Supervision(5000);
  assert.equal(lookUntil(supervision, LIVELY, 10_000).impediment, null, 'before the first report');
  supervision.noteHealth(10_000);
  assert.equal(supervision.look(LIVELY, 10_500).impediment, null);
  let verdict = supervision.look(LIVELY, 10_750);
  for (let nowMs = 11_000; nowMs <= 15_250; nowMs += LOOK_MS) verdict = supervision.look(LIVELY, nowMs);
  assert.equal(verdict.impediment, 'no API server has been checked for 5250 ms');
  supervision.noteHealth(15_300);
  assert.equal(supervision.look(LIVELY, 15_500).impediment, null);
});

test('after a stop of the whole process, the other threads get the time until the next look', () => {
  const supervision = new Supervision(5000);
  supervision.look(LIVELY, 0);
  const stale = { services: 3000, network: 3000, proxy0: 3000 };
  assert.equal(supervision.look(stale, 3000).impediment, null);
  assert.match(supervision.look(stale, 3250).impediment ?? '', /has not moved/);
});
