import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../testing/until.ts';
import { openLog, type LogSink } from './logger.ts';

const KIB = 'x'.repeat(1024);

function writeMany(sink: LogSink, count: number): void {
  for (let number = 0; number < count; number += 1)
    sink.write({ level: 'info', message: KIB, fields: { number }, timeMs: 0 });
}

test('a full disk ends nothing; what is dropped is counted, and told when there is room again', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-log-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'log');
  const fd = openSync('/dev/full', 'w');
  const sink = openLog({ level: 'info', format: 'json' }, fd);
  writeMany(sink, 3000);
  await until(() => sink.dropped() > 0, 'records to be dropped');
  const dropped = sink.dropped();
  assert.ok(dropped > 1500 && dropped < 2500, `${dropped} dropped: about 1 MiB of 3 waits`);
  await sink.flush();
  writeMany(sink, 10);
  assert.ok(sink.dropped() > dropped, 'what comes later is dropped as well');

  closeSync(fd);
  assert.equal(openSync(file, 'w'), fd, 'the file takes the place of the full disk');
  context.after(() => closeSync(fd));
  const lines = (): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const isTold = (line: string): boolean => line.includes('log_dropped');
  await until(() => lines().some(isTold), 'the loss to be told');
  const told = JSON.parse(lines().find(isTold) ?? '') as { dropped: number; msg: string };
  assert.match(told.msg, /^\d+ records of the log were dropped, as standard output took none: ENOSPC/);
  assert.equal(told.dropped, sink.dropped());
  assert.equal(lines().length, 3010 - told.dropped + 1, 'what waited was written, once and whole');
});
