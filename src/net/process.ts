/** What this process may do, how the scheduler treats its election thread, and what memory it keeps. */
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

import { libc } from './libc.ts';

/** linux/capability.h */
const BIT_BY_CAPABILITY = { NET_ADMIN: 12n, NET_RAW: 13n, SYS_NICE: 23n } as const;
export type Capability = keyof typeof BIT_BY_CAPABILITY;

/** True when the calling thread has the capability in effect now, root or not. Throws where /proc is not mounted. */
export function hasCapability(capability: Capability): boolean {
  return hasEffectiveCapability(readFileSync('/proc/thread-self/status', 'utf8'), capability);
}

/** The same for the text of a /proc/PID/status (proc_pid_status(5): CapEff is a hexadecimal mask). */
export function hasEffectiveCapability(status: string, capability: Capability): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BIT_BY_CAPABILITY[capability]) & 1n) === 1n;
}

/** What the scheduler granted. */
export type Scheduling = 'raised' | 'normal';

const SCHED_OTHER = 0;
/** Threads started later, such as proxy workers, begin as ordinary ones (sched(7)). */
const SCHED_RESET_ON_FORK = 0x40000000;
/**
 * Well before everything ordinary, and no more. Real-time scheduling is worse, not better: V8's collector has this
 * thread wait, turning, for helper threads that a real-time thread keeps off the CPU. That was seen to stop it, and
 * with it the host, for up to a second.
 */
const RAISED_NICE = -10;

/**
 * Asks the scheduler to run the calling thread before ordinary ones. Needs CAP_SYS_NICE or an rlimit. Threads that
 * exist already, and those that start later, are not affected.
 */
export function raisePriority(): Scheduling {
  setScheduler(SCHED_OTHER | SCHED_RESET_ON_FORK, 0);
  try {
    setPriority(RAISED_NICE);
    return 'raised';
  } catch {
    return 'normal';
  }
}

/** sched_setscheduler(2) for the calling thread; false when refused. */
function setScheduler(policy: number, priority: number): boolean {
  const param = Buffer.alloc(4);
  param.writeInt32LE(priority);
  return libc.schedSetscheduler(0, policy, param) === 0;
}

/**
 * Gives the memory that was freed, by threads that have ended as well, back to the kernel: glibc keeps it otherwise
 * (malloc_trim(3)). Takes a few milliseconds of the calling thread. Does nothing under another C library.
 */
export function returnFreedMemory(): void {
  libc.mallocTrim?.(0);
}
