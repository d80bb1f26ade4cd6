/**
 * The address in the kernel: bound for a lifetime, renewed, and removed in time. Main thread only. Each call of the
 * kernel is made by another thread, as it may wait for a lock (rtnl); this keeps one call under way, and notices when
 * its answer is overdue.
 */
import type { IpAddress } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import type { AddressLease } from '../../net/rtnetlink-messages.ts';
import { HANDED_OVER_LEASE_SECONDS, LEASE_SECONDS } from '../lease.ts';
import type { RouterCounters } from './counters.ts';
import { observeDuration } from './durations.ts';
import type { LeaseListener, RouterLease } from './performer.ts';
import type { RouterClock } from './router-clock.ts';

/** The kernel's answer to a call, and what the call took. */
export type LeaseAnswer = {
  /** Why the kernel refused, as one sentence; null: it did what it was asked for. */
  readonly refusal: string | null;
  readonly durationMs: number;
  /** Of that, how long the calling thread waited for a processor. */
  readonly waitedForCpuMs: number;
  /** Of a removal: whether the address was there. */
  readonly removed: boolean;
};

/**
 * Makes the calls, in order. Each is answered once, after it has returned: by a callback, so that the order of answers
 * is that of who gives them, also in the simulator.
 */
export type LeaseCalls = {
  leaseAddress(lease: AddressLease, onAnswer: (answer: LeaseAnswer) => void): void;
  removeAddress(linkIndex: number, address: IpAddress, onAnswer: (answer: LeaseAnswer) => void): void;
};

export type KernelLeaseOptions = {
  readonly vip: IpAddress;
  readonly calls: LeaseCalls;
  /** Whether the host has the address now; must not wait for rtnl. */
  readonly isPresent: () => boolean;
  readonly counters: RouterCounters;
  readonly log: Log;
  /** See RouterOptions. */
  readonly closeVip: (handedOver: boolean, onEnd: () => void) => void;
  /** The interface that can be used at the moment. */
  readonly link: () => { readonly index: number; readonly name: string } | null;
  readonly clock: Pick<RouterClock, 'nowMs' | 'startTimer'>;
};

type Purpose = 'bind' | 'renew';
type Link = { readonly index: number; readonly name: string };
type Call = {
  readonly purpose: Purpose;
  readonly link: Link;
  readonly startedAtMs: number;
  readonly listener: LeaseListener;
  isOverdue: boolean;
};

const LEASE_MS = LEASE_SECONDS * 1000;
/** An address that is not bound by then is better bound by another node. */
export const BIND_PATIENCE_MS = 500;
/** A call that took this long is worth a line. */
const SLOW_MS = 250;
/** A line of each kind every minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 4;
/** How long the end of a term waits for the removal of the address; its lifetime ends by itself. */
const REMOVAL_PATIENCE_MS = 3000;

export class KernelLease implements RouterLease {
  readonly #options: KernelLeaseOptions;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  #underWay: Call | null = null;
  /** A bind that waits for the end of the call that is under way. */
  #next: LeaseListener | null = null;
  #renewedAtMs = -Infinity;
  /** The latest renewal that came when the lease had run out already. */
  #late = { atMs: -Infinity, afterMs: 0 };

  constructor(options: KernelLeaseOptions) {
    this.#options = options;
  }

  /** One sentence: why the kernel no longer has the address, which this has not removed. */
  describeRemoval(linkName: string): string {
    const { vip, clock } = this.#options;
    const now = clock.nowMs();
    // A late renewal is answered before the end of the lease is reported.
    const afterMs = now - this.#late.atMs < LEASE_MS ? this.#late.afterMs : now - this.#renewedAtMs;
    return afterMs < LEASE_MS
      ? `${vip.text} was removed from ${linkName} by another program`
      : `${vip.text} ran out on ${linkName}: it was not renewed for ${afterMs.toFixed(0)} ms`;
  }

  take(purpose: Purpose, listener: LeaseListener): void {
    if (this.#underWay === null) this.#lease(purpose, listener);
    else if (purpose === 'bind') this.#next = listener;
    else this.#look(this.#underWay);
  }

  release(handedOver: boolean, isOver: () => boolean, onEnd: () => void): void {
    this.#next = null;
    const link = this.#options.link();
    if (link === null) {
      onEnd();
      return;
    }
    const close = (): void =>
      this.#options.closeVip(handedOver, () => (isOver() ? this.#remove(link, onEnd) : onEnd()));
    if (handedOver) this.#keepForClients(link, close);
    else close();
  }

  #lease(purpose: Purpose, listener: LeaseListener): void {
    const { vip: address, calls, clock } = this.#options;
    const link = this.#options.link();
    if (link === null) return;
    const call: Call = { purpose, link, startedAtMs: clock.nowMs(), listener, isOverdue: false };
    this.#underWay = call;
    const lease = { linkIndex: link.index, address, validSeconds: LEASE_SECONDS };
    calls.leaseAddress(lease, (answer) => this.#answered(call, answer));
  }

  #answered(call: Call, answer: LeaseAnswer): void {
    const { vip, counters, clock } = this.#options;
    const { purpose, link, listener } = call;
    if (answer.refusal === null) {
      this.#observe(purpose, link, answer);
      // Not when it was asked for: the kernel may take its time.
      this.#noteRenewal(purpose, clock.nowMs());
      listener.done();
    } else {
      counters.leaseFailures += 1;
      listener.failed(`cannot ${purpose} ${vip.text} on ${link.name}: ${answer.refusal}`);
    }
    this.#underWay = null;
    if (call.isOverdue) listener.answered();
    const next = this.#next;
    this.#next = null;
    if (next !== null) this.#lease('bind', next);
  }

  #noteRenewal(purpose: Purpose, atMs: number): void {
    const afterMs = atMs - this.#renewedAtMs;
    if (purpose === 'renew' && afterMs >= LEASE_MS) this.#late = { atMs, afterMs };
    this.#renewedAtMs = atMs;
    if (purpose === 'renew') this.#options.counters.leaseRenewals += 1;
  }

  /** It is time to renew again, and the kernel has not answered yet. */
  #look(call: Call): void {
    const { vip, clock, isPresent } = this.#options;
    if (call.isOverdue) return;
    const waitedMs = clock.nowMs() - call.startedAtMs;
    const unanswered = `no answer for ${waitedMs.toFixed(0)} ms to the request to ${call.purpose} ${vip.text} on ${call.link.name}`;
    const isLost =
      call.purpose === 'bind'
        ? waitedMs >= BIND_PATIENCE_MS
        : clock.nowMs() - this.#renewedAtMs >= LEASE_MS && !isPresent();
    if (isLost) {
      call.isOverdue = true;
      // A bind that waits for the answer is of the present term; the call may be of an earlier one.
      (this.#next ?? call.listener).overdue(`${unanswered}, and the address is not there`);
      return;
    }
    if (waitedMs < SLOW_MS) return;
    // While another program holds the lock, the kernel cannot take the address away either.
    this.#warn('overdue', `${unanswered}; the address is ${isPresent() ? 'still there' : 'not there'}`);
  }

  #observe(what: Purpose | 'unbind', link: Link, { durationMs, waitedForCpuMs }: LeaseAnswer): void {
    const { vip, counters } = this.#options;
    observeDuration(counters.leaseDurations[what], durationMs);
    if (durationMs < SLOW_MS) return;
    const reason =
      waitedForCpuMs > durationMs / 2
        ? `no processor was free for ${waitedForCpuMs.toFixed(0)} ms of that: give this node's kube-vrrp more CPU`
        : 'another program held the lock of the network configuration (rtnl): look for bulk changes of interfaces, addresses or routes on this node';
    this.#warn(
      'slow',
      `the kernel took ${durationMs.toFixed(0)} ms to ${what} ${vip.text} on ${link.name}: ${reason}`,
    );
  }

  #warn(kind: string, text: string): void {
    const suppressed = this.#logLimit.take(kind, this.#options.clock.nowMs());
    if (suppressed !== null) this.#options.log('warn', text, { event: `lease_${kind}`, suppressed });
  }

  /** Not fatal when it fails: the address is there for a while. */
  #keepForClients(link: Link, onEnd: () => void): void {
    const { vip: address, calls, log } = this.#options;
    const lease = { linkIndex: link.index, address, validSeconds: HANDED_OVER_LEASE_SECONDS };
    this.#withinPatience(
      (onAnswer) => calls.leaseAddress(lease, onAnswer),
      ({ refusal }) => {
        if (refusal !== null) {
          const text = `cannot keep ${address.text} on ${link.name} for the requests that are in progress: ${refusal}`;
          log('warn', text, { event: 'handover_lease' });
        }
        onEnd();
      },
    );
  }

  /** Not fatal when it fails: the address is no longer renewed, so the kernel takes it away. */
  #remove(link: Link, onEnd: () => void): void {
    const { vip, calls, log } = this.#options;
    this.#withinPatience(
      (onAnswer) => calls.removeAddress(link.index, vip, onAnswer),
      (answer) => {
        if (answer.refusal === null) this.#observe('unbind', link, answer);
        else {
          const text = `cannot remove ${vip.text} from ${link.name}: ${answer.refusal}; it expires within ${LEASE_SECONDS} s`;
          log('warn', text, { event: 'unbind_failed' });
        }
        onEnd();
      },
    );
  }

  /** Calls `onEnd` once, with the answer or, when that takes too long, with a refusal that says so. */
  #withinPatience(
    call: (onAnswer: (answer: LeaseAnswer) => void) => void,
    onEnd: (answer: LeaseAnswer) => void,
  ): void {
    const { clock } = this.#options;
    const startedAtMs = clock.nowMs();
    let hasEnded = false;
    const end = (answer: LeaseAnswer): void => {
      if (hasEnded) return;
      hasEnded = true;
      stopTimer();
      onEnd(answer);
    };
    const stopTimer = clock.startTimer(REMOVAL_PATIENCE_MS, () => {
      const refusal = `the kernel has not answered within ${REMOVAL_PATIENCE_MS} ms`;
      end({ refusal, durationMs: clock.nowMs() - startedAtMs, waitedForCpuMs: 0, removed: false });
    });
    call(end);
  }
}
