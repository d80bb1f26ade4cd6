/** The one clock of the process. */

/**
 * Milliseconds of CLOCK_MONOTONIC, with fractions: the same in every thread and every process of the host, never
 * set back, and not advancing while the host is suspended (clock_gettime(2)).
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
