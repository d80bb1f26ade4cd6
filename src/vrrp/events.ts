/** What the virtual router takes and what it gives: options, events, actions and causes. */
import type { IpAddress } from '../ip/address.ts';
import type { Advertisement, VrrpVersion } from './advertisement.ts';
import type { HealthClass } from '../node/health-class.ts';

export type StateName = 'Initialize' | 'Backup' | 'Active';

/**
 * When a Backup takes over from a living Active: never, from one of class C only, or whenever its priority is higher.
 */
export type PreemptMode = 'never' | 'unhealthy' | 'always';

export type VirtualRouterOptions = {
  readonly version: VrrpVersion;
  /** Advertised priority by health class, each 1-254. */
  readonly priorities: Readonly<Record<HealthClass, number>>;
  readonly advertisementIntervalMs: number;
  readonly preempt: PreemptMode;
  /** How long an Active must have been worth preempting before it is. */
  readonly preemptDelayMs: number;
  /**
   * This router has no peer, so that nobody takes over from it. Another one that is heard all the same disproves it.
   */
  readonly isAlone: boolean;
};

/** The Active that a router hears. */
export type HeardActive = {
  readonly address: IpAddress;
  readonly priority: number;
  readonly heardAtMs: number;
};

/** Why a state changed; also the label of the transition counter, which exists for each from the start. */
export const CAUSE_KINDS = [
  'started',
  'link_up',
  'active_silent',
  'active_resigned',
  'preempted_unhealthy',
  'preempted_lower',
  'outranked',
  'stalled',
  'link_down',
  'handed_over',
  'no_successor',
  'stopped',
  'bind_failed',
  'renewal_failed',
  'address_lost',
  'lease_overdue',
] as const;
export type CauseKind = (typeof CAUSE_KINDS)[number];

export type Cause = {
  readonly kind: CauseKind;
  readonly text: string;
  /** Of `active_silent`: who was the Active, if any was heard. */
  readonly silent?: IpAddress | undefined;
};

export type RouterEvent =
  /** The daemon is ready to serve (RFC 9568 6.4.1 Startup). */
  | { readonly type: 'startup' }
  /** Stop for good. With `handover`, an Active first waits for a successor, for a bounded time. */
  | { readonly type: 'shutdown'; readonly handover: boolean; readonly text: string }
  /**
   * The link can no longer be used. With `handover` it still works and has only lost its source address: an Active
   * first waits for a successor, for a bounded time.
   */
  | { readonly type: 'linkDown'; readonly text: string; readonly handover?: boolean }
  /** The link works, and this is the address that it sends from. */
  | { readonly type: 'linkUp'; readonly primary: IpAddress }
  | { readonly type: 'advertisement'; readonly advertisement: Advertisement; readonly source: IpAddress }
  | { readonly type: 'tick' }
  /**
   * `confirmedAtMs`: when the latest check began that shows this node better off than one of class C; 0 if none does.
   */
  | { readonly type: 'health'; readonly class: HealthClass; readonly confirmedAtMs: number }
  /** The machine was suspended for so long, which the times of events leave out. */
  | { readonly type: 'suspended'; readonly forMs: number }
  /** Somebody else removed an address from the kernel. */
  | { readonly type: 'addressLost'; readonly text: string }
  /** Another host says, without VRRP, that it has an address of the virtual router. */
  | { readonly type: 'addressClaimed' }
  /** The link has another hardware address; neighbors know the old one. */
  | { readonly type: 'linkAddressChanged' }
  /** The kernel has bound the address. */
  | { readonly type: 'bound' }
  /** The address could not be bound. */
  | { readonly type: 'bindFailed'; readonly text: string }
  /** Its lifetime could not be started anew; it is still there until that ends. */
  | { readonly type: 'renewalFailed'; readonly text: string }
  /** The kernel has not answered for too long, and does not have the address. */
  | { readonly type: 'leaseOverdue'; readonly text: string }
  /** The kernel has answered what was overdue. */
  | { readonly type: 'leaseAnswered' }
  /** Hand over and stay out of elections until `undrain`. `force`: give up the addresses even if nobody takes them. */
  | { readonly type: 'drain'; readonly force: boolean }
  | { readonly type: 'undrain' };

/** `two_actives` and `renewal_failed` come again and again: whoever writes them down has to limit them. */
export type Notice =
  | 'not_eligible'
  | 'drain_failed'
  | 'address_restored'
  | 'renewal_failed'
  | 'two_actives'
  | 'late';

export type Action =
  /** `intervalMs`: the interval that the advertisement names. */
  | { readonly type: 'send'; readonly priority: number; readonly intervalMs: number }
  | { readonly type: 'bind' }
  | { readonly type: 'renew' }
  /** `handedOver`: a successor was heard, so connections that are being used may be finished first. */
  | { readonly type: 'unbind'; readonly handedOver: boolean }
  | { readonly type: 'announce' }
  /** Read and forget what is queued on the socket: it is older than this moment. */
  | { readonly type: 'discardQueued' }
  | { readonly type: 'transition'; readonly from: StateName; readonly to: StateName; readonly cause: Cause }
  | { readonly type: 'notice'; readonly notice: Notice; readonly text: string };
