/** The one clock of the process, and how long the machine has been suspended, which that clock leaves out. */
import { FixedMemory, libc } from '../net/libc.ts';

// linux/time.h
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const time = new FixedMemory(16);

/**
 * Milliseconds of CLOCK_MONOTONIC, with fractions: the same in every thread and every process of the host, never
 * set back, and not advancing while the host is suspended (clock_gettime(2)).
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * For how long the machine has been suspended since it booted, in ms with fractions and to some microseconds. A virtual
 * machine that its hypervisor pauses is not suspended: none of its clocks moves.
 */
export function suspendedMs(): number {
  return readClockMs(CLOCK_BOOTTIME) - readClockMs(CLOCK_MONOTONIC);
}

/** clock_gettime(2) into a struct timespec: seconds and nanoseconds, 64 bits each. */
function readClockMs(clock: number): number {
  libc.clock_gettime(clock, time.address);
  const [seconds = 0, , nanoseconds = 0] = time.words;
  return (seconds >>> 0) * 1000 + nanoseconds / 1e6;
}
