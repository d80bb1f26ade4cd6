/** Durations as people write them: `100ms`, `1.5s`, `2m`. Pure. */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000 } as const;

/** One number and one unit: `ms`, `s` or `m`. At most nine digits before the point and six after it. */
export const DURATION_PATTERN = /^(\d{1,9})(?:\.(\d{1,6}))?(ms|s|m)$/;

/**
 * Milliseconds of a duration text, exact to its last digit where a double can be; null when it is no duration. Never
 * throws.
 */
export function parseDuration(text: string): number | null {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return null;
  const [, whole = '', fraction = '', unit = ''] = match;
  const unitMs = UNIT_MS[unit as keyof typeof UNIT_MS];
  // Integers first, one division last: 1.001 * 1000 in floating point is not 1001.
  return Number(whole) * unitMs + (Number(fraction) * unitMs) / 10 ** fraction.length;
}

/**
 * The text of a duration of whole milliseconds, such that `parseDuration` gives it back: `0s`, `100ms`, `1.5s`, `2m`.
 */
export function formatDuration(durationMs: number): string {
  if (durationMs > 0 && durationMs < 1000) return `${durationMs}ms`;
  const wholeMinutes = durationMs > 0 && durationMs % 60_000 === 0;
  return wholeMinutes ? `${durationMs / 60_000}m` : `${durationMs / 1000}s`;
}
