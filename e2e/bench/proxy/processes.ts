/** Processes of the benchmark: pinned to a core, with files enough for 10,000 clients, and what they cost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/** Descriptors of a proxy, of whichever kind, that are no client and no client's backend connection. */
const RESERVED_FILES = 300;
const FILES_PER_CLIENT = 2;
const WANTED_CLIENTS = 10_000;

/** 10,000, or as many as this host's limit on open files lets each proxy have. */
export function manyClients(): number {
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  const byFiles = Math.floor((Number(hard ?? Infinity) - RESERVED_FILES) / FILES_PER_CLIENT);
  return Math.min(WANTED_CLIENTS, byFiles);
}

const running = new Set<ChildProcess>();

/** Starts a program on some cores; resolves when its first line is there, or at once with `waitForLine` false. */
export async function start(
  cores: readonly number[],
  command: readonly string[],
  waitForLine = true,
): Promise<number> {
  const script = `ulimit -n "$(ulimit -H -n)" && exec taskset -c ${cores.join(',')} "$@"`;
  const child = spawn('sh', ['-c', script, 'sh', ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', (code) => {
    if (running.delete(child)) console.error(`${command.join(' ')} ended with code ${code}`);
  });
  if (waitForLine) await once(child.stdout, 'data');
  child.stdout.resume();
  if (child.pid === undefined) throw new Error(`cannot start ${command.join(' ')}`);
  return child.pid;
}

/** Ends one process, or all of them. */
export function end(pid?: number): void {
  for (const child of running) {
    if (pid !== undefined && child.pid !== pid) continue;
    running.delete(child);
    child.kill('SIGKILL');
  }
}

/** Time that each thread of the process has run, user and kernel, ms (/proc/PID/task/TID/schedstat, in ns). */
export function cpuMsByThread(pid: number): Map<string, number> {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return new Map(
    tasks.map((task) => {
      const [ns = '0'] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
      return [task, Number(ns) / 1e6];
    }),
  );
}

/** Time that all threads of the process have run, ms. */
export function cpuMs(pid: number): number {
  return [...cpuMsByThread(pid).values()].reduce((sum, ms) => sum + ms, 0);
}

/** Resident memory, KiB. */
export function residentKib(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN);
}
