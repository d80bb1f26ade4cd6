import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ActiveDownTimer, Pace, activeDownIntervalMs, patientIntervalMs, skewTimeMs } from './intervals.ts';

test('RFC 9568 6.1: Skew_Time is ((256 - Priority) * Active_Adver_Interval) / 256', () => {
  assert.equal(skewTimeMs(3, 254, 100), 200 / 256);
  assert.equal(skewTimeMs(3, 128, 1000), 500);
  assert.equal(skewTimeMs(3, 1, 1000), 255_000 / 256);
});

test('RFC 9568 6.1: Active_Down_Interval is three intervals and the skew', () => {
  assert.equal(activeDownIntervalMs(3, 128, 100), 350);
  assert.equal(activeDownIntervalMs(2, 128, 1000), 3500);
});

test('RFC 3768 6.1: version 2 skews by up to a second whatever the interval', () => {
  assert.equal(skewTimeMs(2, 128, 5000), 500);
});

test('an interval of one centisecond still has a skew: two priorities differ', () => {
  assert.ok(skewTimeMs(3, 253, 10) > skewTimeMs(3, 254, 10));
});

describe('the Active_Down_Timer', () => {
  test('runs for an Active_Down_Interval, and anew for each Active that stays, by its interval', () => {
    const timer = new ActiveDownTimer(3, 100, 212, 1000);
    assert.equal(timer.dueMs, 1000 + activeDownIntervalMs(3, 212, 100));
    timer.follow(200, 212, 1050);
    assert.equal(timer.dueMs, 1050 + activeDownIntervalMs(3, 212, 200));
    assert.equal(timer.activeAdverIntervalMs, 200);
  });

  test('an answer to a resignation is timed from the first priority 0, whatever the interval of the next ones', () => {
    for (const intervalMs of [10, 100, 200, 1000, 40_950]) {
      const timer = new ActiveDownTimer(3, intervalMs, 64, 0);
      timer.answerResignation(64, 500);
      for (let atMs = 500; atMs < timer.dueMs; atMs += 10) timer.answerResignation(64, atMs);
      assert.equal(timer.dueMs, 500 + skewTimeMs(3, 64, intervalMs));
    }
  });

  test('the answer comes sooner when the priority of this router has risen before the next priority 0', () => {
    const timer = new ActiveDownTimer(3, 1000, 31, 0);
    timer.answerResignation(31, 500);
    timer.answerResignation(254, 1000);
    assert.equal(timer.dueMs, 1000 + skewTimeMs(3, 254, 1000));
  });

  test('an Active that stays after all, or a timer that has fired, ends that answer', () => {
    const timer = new ActiveDownTimer(3, 100, 212, 0);
    timer.answerResignation(212, 10);
    timer.follow(100, 212, 20);
    assert.equal(timer.dueMs, 20 + activeDownIntervalMs(3, 212, 100));
    timer.answerResignation(212, 30);
    assert.equal(timer.dueMs, 30 + skewTimeMs(3, 212, 100));
    timer.restart(212, 60);
    timer.answerResignation(212, 70);
    assert.equal(timer.dueMs, 70 + skewTimeMs(3, 212, 100));
  });
});

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
