/** What a router counts, as one plain value that other threads can be sent. */
import type { ChecksumForm } from '../checksum.ts';
import { CAUSE_KINDS, type CauseKind } from '../events.ts';
import { MISMATCHES, type Mismatch, REJECT_REASONS, type RejectReason } from '../receive.ts';
import { createDurations, type Durations } from './durations.ts';

/** `address_claimed`: another host says, without VRRP, that it has the VIP. */
export const CONFLICTS = ['two_actives', 'address_claimed'] as const;
export type Conflict = (typeof CONFLICTS)[number];

/** `expected` looks like an advertisement of this virtual router, `unexpected` does not. */
export const UNREAD_KINDS = ['expected', 'unexpected'] as const;
export type UnreadKind = (typeof UNREAD_KINDS)[number];

export const LEASE_PURPOSES = ['bind', 'renew', 'unbind'] as const;
export type LeasePurpose = (typeof LEASE_PURPOSES)[number];

export type RouterCounters = {
  sent: number;
  /** Of what the Adver_Timer had sent. */
  lateness: Durations;
  sendErrors: number;
  accepted: number;
  rejected: Record<RejectReason, number>;
  /** What the kernel has dropped, as it came faster than it was read. */
  unread: Record<UnreadKind, number>;
  checksumForms: Record<ChecksumForm, number>;
  mismatches: Record<Mismatch, number>;
  conflicts: Record<Conflict, number>;
  transitions: Record<CauseKind, number>;
  leaseRenewals: number;
  leaseFailures: number;
  /** How long the kernel took for each call, by what it was for. */
  leaseDurations: Record<LeasePurpose, Durations>;
  announcements: number;
  discardedAfterStall: number;
};

export function createRouterCounters(): RouterCounters {
  return {
    sent: 0,
    lateness: createDurations(),
    sendErrors: 0,
    accepted: 0,
    rejected: zeros(REJECT_REASONS),
    unread: { expected: 0, unexpected: 0 },
    checksumForms: { 'pseudo-header': 0, message: 0 },
    mismatches: zeros(MISMATCHES),
    conflicts: { two_actives: 0, address_claimed: 0 },
    transitions: zeros(CAUSE_KINDS),
    leaseRenewals: 0,
    leaseFailures: 0,
    leaseDurations: { bind: createDurations(), renew: createDurations(), unbind: createDurations() },
    announcements: 0,
    discardedAfterStall: 0,
  };
}

/** A counter that has no sample before the first event has no increase() at that event. */
function zeros<Label extends string>(labels: readonly Label[]): Record<Label, number> {
  return Object.fromEntries(labels.map((label) => [label, 0])) as Record<Label, number>;
}
