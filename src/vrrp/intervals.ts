/** VRRP's intervals, in milliseconds with fractions: rounding to centiseconds would leave short intervals no skew. Pure. */
import type { VrrpVersion } from './advertisement.ts';

/**
 * Skew_Time: version 3 ((256 - Priority) * Active_Adver_Interval) / 256 (RFC 9568 6.1); version 2
 * (256 - Priority) / 256 seconds whatever the interval (RFC 3768 6.1). Always less than one interval.
 */
export function skewTimeMs(version: VrrpVersion, priority: number, activeAdverIntervalMs: number): number {
  return ((256 - priority) * (version === 2 ? 1000 : activeAdverIntervalMs)) / 256;
}

/** Active_Down_Interval: 3 * Active_Adver_Interval + Skew_Time (RFC 9568 6.1, RFC 3768 6.1). */
export function activeDownIntervalMs(
  version: VrrpVersion,
  priority: number,
  activeAdverIntervalMs: number,
): number {
  return 3 * activeAdverIntervalMs + skewTimeMs(version, priority, activeAdverIntervalMs);
}
