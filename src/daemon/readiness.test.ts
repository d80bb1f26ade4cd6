import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Impediment, NotReadyReminder } from './readiness.ts';

const MINUTE_MS = 60_000;
const waiting: Impediment = {
  reason: 'certificates',
  text: 'waiting for the certificates of health: no ca.crt',
};

test('what keeps the daemon from being ready is said again every five minutes, with how long it has been', () => {
  const reminder = new NotReadyReminder();
  const told: string[] = [];
  for (let minute = 0; minute <= 11; minute += 1) {
    const line = reminder.look([waiting], minute * MINUTE_MS);
    if (line !== null) told.push(line);
  }
  assert.deepEqual(told, [
    'not ready for 5 minutes: waiting for the certificates of health: no ca.crt',
    'not ready for 10 minutes: waiting for the certificates of health: no ca.crt',
  ]);
});

test('a daemon that has been ready meanwhile begins anew', () => {
  const reminder = new NotReadyReminder();
  assert.equal(reminder.look([waiting], 0), null);
  assert.equal(reminder.look([], 4 * MINUTE_MS), null);
  assert.equal(reminder.look([waiting], 6 * MINUTE_MS), null);
  assert.match(reminder.look([waiting], 11 * MINUTE_MS) ?? '', /^not ready for 5 minutes/u);
});
