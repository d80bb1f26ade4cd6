/** What a process takes from its machine while nothing happens. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';

export type Cost = {
  /** CPU time of all threads, in percent of one core. */
  readonly cpuPercent: number;
  /** Resident at the end of the window, files mapped into memory included. */
  readonly residentMib: number;
  /** How often one of its threads, after it had waited for something, was run again. The same on every machine. */
  readonly wakeupsPerSecond: number;
};

/** What one kube-vrrp may cost while nobody is served */
export const COST_TARGET: Pick<Cost, 'cpuPercent' | 'residentMib'> = { cpuPercent: 2, residentMib: 120 };

/** "1.6 % of a core, 112 MiB" in its two parts, for people. */
export function formatCost({
  cpuPercent,
  residentMib: mib,
}: typeof COST_TARGET): [cpu: string, memory: string] {
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
  const earlierWaits = waits(pid);
  await sleep(WINDOW_MS);
  const windowMs = monotonicMs() - fromMs;
  return {
    cpuPercent: ((cpuMs(pid) - earlierMs) / windowMs) * 100,
    residentMib: residentMib(pid),
    wakeupsPerSecond: ((waits(pid) - earlierWaits) / windowMs) * 1000,
  };
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

/** How often threads of a process have given up the processor to wait for something (proc_pid_status(5)). */
function waits(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const counts = readdirSync(folder).map((thread) => {
    const status = readFileSync(`${folder}/${thread}/status`, 'utf8');
    return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]);
  });
  return counts.reduce((sum, count) => sum + count, 0);
}
