/** What a process takes from its machine while nothing happens. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { monotonicMs } from '../../src/net/clock.ts';

export type Cost = {
  /** CPU time of all threads, in percent of one core. */
  readonly cpuPercent: number;
  /** Resident at the end of the window, files mapped into memory included. */
  readonly residentMib: number;
};

/** V8 compiles and collects for some seconds after there was something to do: that is not the cost of doing nothing. */
const SETTLING_MS = 10_000;
const WINDOW_MS = 10_000;
/** USER_HZ, which is 100 on every Linux that Node runs on (proc(5)). */
const TICK_MS = 10;

/** Watches processes for ten seconds, after ten seconds of rest; the result has their order. */
export async function measureCosts(pids: readonly number[]): Promise<Cost[]> {
  await sleep(SETTLING_MS);
  const fromMs = monotonicMs();
  const earlierMs = pids.map(cpuMs);
  await sleep(WINDOW_MS);
  const windowMs = monotonicMs() - fromMs;
  return pids.map((pid, index) => ({
    cpuPercent: ((cpuMs(pid) - (earlierMs[index] ?? 0)) / windowMs) * 100,
    residentMib: residentMib(pid),
  }));
}

/** CPU time of a process, all threads, ms. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
