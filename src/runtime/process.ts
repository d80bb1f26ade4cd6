/** What this process may do, how the scheduler treats its election thread, and what memory it keeps. */
import { readFileSync } from 'node:fs';

import { libc } from '../net/libc.ts';

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

/**
 * Well before everything ordinary, and no more. Real-time scheduling is worse, not better: V8's collector has this
 * thread wait, turning, for helper threads that a real-time thread keeps off the CPU. That was seen to stop it, and
 * with it the host, for up to a second.
 */
const RAISED_NICE = -10;
/**
 * A thread that asks for short slices is served earlier (sched-eevdf in the kernel's documentation, since 6.12; older
 * kernels ignore it), also against other cgroups, where nice does not count. The kernel takes no less than this.
 */
const SLICE_NANOSECONDS = 100_000n;

/** By `process.arch`: glibc wraps it from 2.41 on only (asm/unistd_64.h, asm-generic/unistd.h). */
export const SCHED_SETATTR_BY_ARCH: ReadonlyMap<string, number> = new Map([
  ['x64', 314],
  ['arm64', 274],
]);
/** struct sched_attr (sched_setattr(2)): size, policy, flags, nice, priority, runtime, deadline, period. */
const SCHED_ATTR_BYTES = 48;
const SCHED_OTHER = 0;
/** Threads started later, such as proxy workers, begin as ordinary ones. */
const SCHED_FLAG_RESET_ON_FORK = 1n;

/**
 * Asks the scheduler to run the calling thread before ordinary ones. A raised priority needs CAP_SYS_NICE or an rlimit.
 * Threads that exist already, and those that start later, are not affected.
 */
export function raisePriority(): Scheduling {
  if (setSchedule(RAISED_NICE)) return 'raised';
  setSchedule(0);
  return 'normal';
}

/** For the calling thread; false when refused. */
function setSchedule(nice: number): boolean {
  const number = SCHED_SETATTR_BY_ARCH.get(process.arch);
  if (number === undefined) return false;
  const attributes = Buffer.alloc(SCHED_ATTR_BYTES);
  attributes.writeUInt32LE(SCHED_ATTR_BYTES, 0);
  attributes.writeUInt32LE(SCHED_OTHER, 4);
  attributes.writeBigUInt64LE(SCHED_FLAG_RESET_ON_FORK, 8);
  attributes.writeInt32LE(nice, 16);
  attributes.writeBigUInt64LE(SLICE_NANOSECONDS, 24);
  return libc.syscall(number, 0, attributes, 0) === 0;
}

/** asm-generic/signal.h, the same on x64 and arm64. */
const SIG_UNBLOCK = 1;
const SIGUSR1 = 10;
/** sigset_t of glibc and musl. */
const SIGSET_BYTES = 128;

/** Lets the calling thread take SIGUSR1, which Node blocks in every thread with --disable-sigusr1. */
export function unblockSigusr1(): void {
  const set = Buffer.alloc(SIGSET_BYTES);
  set.writeUInt32LE(1 << (SIGUSR1 - 1), 0);
  libc.pthreadSigmask(SIG_UNBLOCK, set, null);
}

const SIG_IGN = 1;
/** signal(7): glibc keeps the two below for itself. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Has the kernel drop real-time signals, which would end the process: Node has no names for them, so no handlers. */
export function ignoreRealTimeSignals(): void {
  for (let signal = SIGRTMIN; signal <= SIGRTMAX; signal += 1) libc.signal(signal, SIG_IGN);
}

/**
 * Gives the memory that was freed, by threads that have ended as well, back to the kernel: glibc keeps it otherwise
 * (malloc_trim(3)). Takes a few milliseconds of the calling thread. Does nothing under another C library.
 */
export function returnFreedMemory(): void {
  libc.mallocTrim?.(0);
}
