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

/** What one kube-vrrp may cost while nobody is served */
export const COST_TARGET: Cost = { cpuPercent: 2, residentMib: 120 };

/** "1.6 % of a core, 112 MiB" in its two parts, for people. */
export function formatCost({ cpuPercent, residentMib: mib }: Cost): [cpu: string, memory: string] {
  return [`${cpuPercent.toFixed(1)} %`, `${mib.toFixed(0)} MiB`];
}

/** V8 compiles and collects for some seconds after there was something to do: that is not the cost of doing nothing. */
const SETTLING_MS = 10_000;
const WINDOW_MS = 10_000;
/** USER_HZ, which is 100 on every Linux that Node runs on (proc(5)). */
const TICK_MS = 10;

/** Watches a process for ten seconds, after ten seconds of rest. */
export async function measureCost(pid: number): Promise<Cost> {
  await sleep(SETTLING_MS);
  const fromMs = monotonicMs();
  const earlierMs = cpuMs(pid);
  await sleep(WINDOW_MS);
  const cpuPercent = ((cpuMs(pid) - earlierMs) / (monotonicMs() - fromMs)) * 100;
  return { cpuPercent, residentMib: residentMib(pid) };
}

/** CPU time of a process, all threads, ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
