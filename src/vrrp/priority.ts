/** Health classes as bands of the VRRP priority, so that any VRRP peer understands them. Pure. */
import { HEALTH_CLASSES, type HealthClass } from '../node/health-class.ts';

/** The bands (inclusive). Everything a VRRP router may advertise besides 0 (gives up) and 255 (owner) is in one. */
export const PRIORITY_BANDS: Readonly<Record<HealthClass, { readonly low: number; readonly high: number }>> =
  {
    A: { low: 128, high: 254 },
    B: { low: 64, high: 127 },
    U: { low: 32, high: 63 },
    C: { low: 1, high: 31 },
  };

/** Nodes that can be told apart in each class: one priority each in the narrowest band. */
export const MAX_PRIORITIES = PRIORITY_BANDS.C.high - PRIORITY_BANDS.C.low + 1;

/** The class that an advertised priority stands for; 255, an address owner, counts as A and 0 as C. */
export function classOfPriority(priority: number): HealthClass {
  return HEALTH_CLASSES.find((healthClass) => priority >= PRIORITY_BANDS[healthClass].low) ?? 'C';
}

/**
 * Priorities for `priority: auto`: distinct for each of `peerCount` nodes (1-31) by `peerIndex` (from 0) in the peers
 * list, and spread over the band, so that Skew_Time keeps Backups from all promoting themselves in the same instant.
 */
export function autoPriorities(peerIndex: number, peerCount: number): Record<HealthClass, number> {
  const place = ({ low, high }: { low: number; high: number }): number =>
    high - peerIndex * Math.floor((high - low + 1) / peerCount);
  return placed(place);
}

/**
 * Priorities for a configured number (1-31): one of its own in each band, so that numbers that differ are advertised as
 * priorities that differ: 130 + 4 * number in class A, 65 + 2 * number in class B, 32 + number in class U, the number
 * itself in class C.
 */
export function configuredPriorities(number: number): Record<HealthClass, number> {
  const place = ({ low, high }: { low: number; high: number }): number =>
    high - (MAX_PRIORITIES - number) * Math.floor((high - low + 1) / MAX_PRIORITIES);
  return placed(place);
}

function placed(place: (band: { low: number; high: number }) => number): Record<HealthClass, number> {
  const { A, B, U, C } = PRIORITY_BANDS;
  return { A: place(A), B: place(B), U: place(U), C: place(C) };
}
