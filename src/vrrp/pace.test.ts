import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace, patientIntervalMs } from './pace.ts';

test('the patient interval is twice the own one, and lets Backups wait no longer than the kernel keeps the address', () => {
  const intervalsMs = [10, 50, 100, 120, 130, 250, 1000, 40_950];
  const patientMs = intervalsMs.map((intervalMs) => patientIntervalMs(3, intervalMs));
  assert.deepEqual(patientMs, [20, 100, 200, 240, 250, 250, 1000, 40_950]);
});

test('version 2 knows one interval for all', () => {
  assert.equal(patientIntervalMs(2, 1000), 1000);
  const pace = new Pace(2, 1000);
  assert.equal(pace.note(2500, 10_000), false);
  assert.equal(pace.advertisedMs(10_000), 1000);
});

test('an advertisement is late after two intervals, and not at them', () => {
  const pace = new Pace(3, 100);
  assert.equal(pace.note(200, 1000), false);
  assert.equal(pace.advertisedMs(1000), 100);
  assert.equal(pace.note(201, 2000), true);
  assert.equal(pace.advertisedMs(2000), 200);
});

test('being late again makes patience last, and is no news', () => {
  const pace = new Pace(3, 100);
  pace.note(300, 0);
  assert.equal(pace.note(300, 29_999), false);
  assert.equal(pace.advertisedMs(59_998), 200);
  assert.equal(pace.advertisedMs(59_999), 100);
  assert.equal(pace.note(300, 60_000), true);
});
