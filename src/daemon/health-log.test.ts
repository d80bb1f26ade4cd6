import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import type { BackendHealth } from '../health/backend.ts';
import type { HealthReport } from '../health/driver/checker.ts';
import { HealthLog } from './health-log.ts';

const backend = (changes: Partial<BackendHealth> = {}): BackendHealth => ({
  id: '10.0.0.1:6443',
  address: parseIp('10.0.0.1') ?? assert.fail(),
  port: 6443,
  local: true,
  state: 'up',
  sinceMs: 0,
  misconfigured: false,
  unverified: false,
  withheld: null,
  lastCheck: { ok: true, detail: '200', durationMs: 3, atMs: 0 },
  ...changes,
});
const reportOf = (changes: Partial<HealthReport> = {}): HealthReport => ({
  backends: [backend()],
  settled: true,
  class: 'A',
  confirmedAtMs: 0,
  ...changes,
});

function openHealthLog() {
  const lines: string[] = [];
  const events: unknown[] = [];
  const healthLog = new HealthLog((level, message, fields = {}) => {
    lines.push(`${level} ${message}`);
    events.push(fields);
  }, '/healthz');
  return { healthLog, lines, events };
}

test('the class is logged once it is known, and when it changes: a warning for class C alone', () => {
  const { healthLog, lines } = openHealthLog();
  const reports = [
    reportOf({ settled: false, class: 'C' }),
    reportOf(),
    reportOf(),
    reportOf({ class: 'C' }),
    reportOf({ class: 'B' }),
  ];
  for (const [index, report] of reports.entries())
    if (index > 0) healthLog.report(report, reports[index - 1] ?? assert.fail());
  assert.deepEqual(lines, [
    'info health class A: the local API server is healthy',
    'warn health class C: no API server is healthy; this node does not take the VIP, but keeps it if it has it',
    'info health class B: only API servers of peers are healthy',
  ]);
});

test('a node that cannot verify any API server is reminded of it every minute', () => {
  const { healthLog, lines } = openHealthLog();
  const at = (seconds: number): HealthReport => {
    const lastCheck = { ok: false, detail: 'status 404', durationMs: 3, atMs: 1000 * seconds };
    return reportOf({ class: 'U', backends: [backend({ state: 'down', unverified: true, lastCheck })] });
  };
  for (let seconds = 1; seconds <= 125; seconds += 1) healthLog.report(at(seconds), at(seconds - 1));
  assert.equal(lines.length, 3);
  assert.match(lines[2] ?? '', /^warn health class U: /u);
});

test('a node whose first class is C says so', () => {
  const { healthLog, events } = openHealthLog();
  healthLog.report(reportOf({ class: 'C' }), reportOf({ settled: false, class: 'C', backends: [] }));
  assert.deepEqual(events, [{ event: 'class', class: 'C' }]);
});

test('a transition has the detail of the check that made it', () => {
  const { healthLog, lines, events } = openHealthLog();
  const lastCheck = { ok: false, detail: 'connection refused', durationMs: 3, atMs: 0 };
  healthLog.transition(backend({ state: 'down', lastCheck }), 'up');
  healthLog.transition(backend(), 'down');
  assert.deepEqual(lines, [
    'warn API server 10.0.0.1:6443 up -> down: connection refused',
    'info API server 10.0.0.1:6443 down -> up: 200',
  ]);
  assert.deepEqual(events[0], {
    event: 'backend',
    backend: '10.0.0.1:6443',
    from: 'up',
    to: 'down',
    local: true,
  });
});

test('a check that is refused names the setting, once until it is allowed again', () => {
  const { healthLog, lines } = openHealthLog();
  const lastCheck = { ok: true, detail: 'status 401', durationMs: 3, atMs: 0 };
  const refused = reportOf({ backends: [backend({ misconfigured: true, lastCheck })] });
  healthLog.report(refused, reportOf());
  healthLog.report(refused, refused);
  assert.deepEqual(lines, [
    'warn API server 10.0.0.1:6443 lives but refuses the check (status 401): let anonymous users read /healthz, or set health.path to what they may read',
  ]);
  healthLog.report(reportOf(), refused);
  healthLog.report(refused, reportOf());
  assert.equal(lines.length, 2);
});

test('an API server that gets no new clients is a line with the reason, and one when it gets them again', () => {
  const { healthLog, events } = openHealthLog();
  const withheld = (reason: BackendHealth['withheld']) =>
    reportOf({ backends: [backend({ withheld: reason })] });
  const reports = [reportOf(), withheld('notReady'), withheld('notReady'), withheld('flapping'), reportOf()];
  for (const [index, report] of reports.entries())
    if (index > 0) healthLog.report(report, reports[index - 1] ?? assert.fail());
  assert.deepEqual(events, [
    { event: 'withheld', backend: '10.0.0.1:6443', withheld: 'notReady' },
    { event: 'withheld', backend: '10.0.0.1:6443', withheld: 'flapping' },
    { event: 'withheld', backend: '10.0.0.1:6443', withheld: null },
  ]);
});
