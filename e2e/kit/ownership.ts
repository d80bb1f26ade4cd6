/** Names of a lab's namespaces and folders, and the removal of what a crashed lab left behind. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAME_PREFIX = 'kube-vrrp-lab';
const NAME_PATTERN = new RegExp(`^${NAME_PREFIX}-(\\d+)-(\\d+)-`);
const NAMESPACE_FOLDER = '/run/netns';

let labsMade = 0;

/** Clock ticks from boot to the start of a process (proc(5), field 22): with the pid, it names a process for good. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** A name that no other lab has had, and that tells whether its owner, this process, still lives. */
export function newLabName(): string {
  labsMade += 1;
  return `${NAME_PREFIX}-${process.pid}-${startTicks(process.pid)}-${labsMade}`;
}

function ownerIsDead(name: string): boolean {
  const [, pid, ticks] = NAME_PATTERN.exec(name) ?? [];
  return pid !== undefined && startTicks(Number(pid)) !== ticks;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function processesIn(name: string): number[] {
  try {
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8', stdio: 'pipe' });
    return pids.split('\n').filter(Boolean).map(Number);
  } catch {
    // The namespace has gone by itself.
    return [];
  }
}

/** Kills whatever runs in a namespace of a lab, stopped or not. */
export function killProcessesIn(name: string): void {
  for (const pid of processesIn(name)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has gone by itself, and keeps no other one alive.
    }
  }
}

/** Kills what runs in a namespace of a lab and removes it. Never throws: there may be nothing to remove. */
export function removeNamespace(name: string): void {
  killProcessesIn(name);
  try {
    execFileSync('ip', ['netns', 'del', name], { stdio: 'pipe' });
  } catch {
    // It has gone by itself.
  }
}

/** Removes namespaces and folders of labs whose owner was killed before it could clean up. */
export function removeLeftovers(): void {
  for (const name of namesIn(NAMESPACE_FOLDER).filter(ownerIsDead)) removeNamespace(name);
  for (const name of namesIn(tmpdir()).filter(ownerIsDead)) {
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
