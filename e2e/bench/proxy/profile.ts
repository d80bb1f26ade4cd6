/**
 * Where the CPU time of proxies goes while something is measured: perf's samples, by part of the system and by
 * function.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** For Node, so that perf finds the names of compiled JavaScript, in /tmp/perf-PID.map. */
export const NODE_PROFILE_FLAGS = ['--perf-basic-prof', '--interpreted-frames-native-stack'];
const SAMPLES_PER_SECOND = 997;
/** Functions with less than this are left out. */
const LEAST_PERCENT = 0.5;

/** Whatever perf says on standard error while it records goes to ours. Returns what `take` does, and perf's report. */
export async function profiled<Result>(
  pids: readonly number[],
  folder: string,
  take: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly report: string }> {
  const file = join(folder, 'perf.data');
  const sampling = ['-q', '-e', 'cpu-clock', '-F', String(SAMPLES_PER_SECOND), '-p', pids.join(',')];
  const perf = spawn('perf', ['record', ...sampling, '-o', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(perf, 'exit');
  await once(perf, 'spawn');
  let result: Result;
  try {
    result = await take();
  } finally {
    perf.kill('SIGINT');
    await ended;
  }
  return {
    result,
    report: `${await report(file, 'dso', 1)}${await report(file, 'dso,symbol', LEAST_PERCENT)}`,
  };
}

async function report(file: string, sort: string, leastPercent: number): Promise<string> {
  const how = ['--stdio', '--sort', sort, '--percent-limit', String(leastPercent)];
  const { stdout } = await run('perf', ['report', '-i', file, ...how], { maxBuffer: 64 * 1024 * 1024 });
  const lines = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  // The columns behind the name are for what was not recorded.
  return `${lines.map((line) => line.replace(/(?:\s+-)*\s*$/, '')).join('\n')}\n\n`;
}
