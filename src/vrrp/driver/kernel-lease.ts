/** The address in the kernel, over rtnetlink: bound for a lifetime, renewed, and removed in time. Main thread only. */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import type { Log } from '../../log/log.ts';
import type { RtNetlink } from '../../net/rtnetlink.ts';
import { HANDED_OVER_LEASE_SECONDS, LEASE_SECONDS } from '../lease.ts';
import type { RouterCounters } from './counters.ts';
import { OwnRemovals } from './own-removals.ts';
import type { RouterLease } from './performer.ts';

export type KernelLeaseOptions = {
  readonly vip: IpAddress;
  readonly netlink: Pick<RtNetlink, 'leaseAddress' | 'removeAddress'>;
  readonly counters: RouterCounters;
  readonly log: Log;
  /** See RouterOptions. */
  readonly closeVip: (vip: IpAddress, handedOver: boolean) => Promise<void>;
  /** The interface that can be used at the moment. */
  readonly link: () => { readonly index: number; readonly name: string } | null;
  /** CLOCK_MONOTONIC. */
  readonly nowMs: () => number;
};

const LEASE_MS = LEASE_SECONDS * 1000;

export class KernelLease implements RouterLease {
  private readonly options: KernelLeaseOptions;
  private readonly ownRemovals = new OwnRemovals();
  private latestRelease: Promise<void> = Promise.resolve();
  private renewedAtMs = -Infinity;
  /** The latest renewal that came when the lease had run out already. */
  private late = { atMs: -Infinity, afterMs: 0 };

  constructor(options: KernelLeaseOptions) {
    this.options = options;
  }

  /** Resolves when the address of the latest term has been removed, or is left to its lifetime. */
  get released(): Promise<void> {
    return this.latestRelease;
  }

  /** The kernel says that the address is gone; true: this removed it. */
  takeRemoval(): boolean {
    return this.ownRemovals.take();
  }

  /** One sentence: why the kernel no longer has the address, which this has not removed. */
  describeRemoval(linkName: string): string {
    const { vip, nowMs } = this.options;
    const now = nowMs();
    // Who could not renew it in time hears of its end only after that, and maybe after the next renewal.
    const afterMs = now - this.late.atMs < LEASE_MS ? this.late.afterMs : now - this.renewedAtMs;
    return afterMs < LEASE_MS
      ? `${vip.text} was removed from ${linkName} by somebody else`
      : `${vip.text} ran out on ${linkName}: it was not renewed for ${afterMs.toFixed(0)} ms`;
  }

  take(purpose: 'bind' | 'renew', onFailure: (text: string) => void): void {
    void this.lease(purpose, onFailure);
  }

  release(handedOver: boolean, isOver: () => boolean, onEnd: () => void): void {
    this.latestRelease = this.unbind(handedOver, isOver).finally(onEnd);
  }

  private async lease(purpose: 'bind' | 'renew', onFailure: (text: string) => void): Promise<void> {
    const { vip: address, netlink, counters } = this.options;
    const link = this.options.link();
    if (link === null) return;
    try {
      await netlink.leaseAddress({ linkIndex: link.index, address, validSeconds: LEASE_SECONDS });
      // Not when it was asked for: the kernel may take its time.
      const atMs = this.options.nowMs();
      const afterMs = atMs - this.renewedAtMs;
      if (purpose === 'renew' && afterMs >= LEASE_MS) this.late = { atMs, afterMs };
      this.renewedAtMs = atMs;
      if (purpose === 'renew') counters.leaseRenewals += 1;
    } catch (error) {
      counters.leaseFailures += 1;
      onFailure(`cannot ${purpose} ${address.text} on ${link.name}: ${errorText(error)}`);
    }
  }

  /** Not fatal when it fails: the address is there for a while. */
  private async keepForClients(link: { readonly index: number; readonly name: string }): Promise<void> {
    const { vip: address, netlink, log } = this.options;
    const validSeconds = HANDED_OVER_LEASE_SECONDS;
    try {
      await netlink.leaseAddress({ linkIndex: link.index, address, validSeconds });
    } catch (error) {
      const text = `cannot keep ${address.text} on ${link.name} for the requests that are under way: ${errorText(error)}`;
      log('warn', text, { event: 'handover_lease' });
    }
  }

  private async unbind(handedOver: boolean, isOver: () => boolean): Promise<void> {
    const { vip, netlink, log, closeVip } = this.options;
    const link = this.options.link();
    if (link === null) return;
    try {
      if (handedOver) await this.keepForClients(link);
      await closeVip(vip, handedOver);
      if (isOver()) await this.ownRemovals.during(() => netlink.removeAddress(link.index, vip));
    } catch (error) {
      // Not fatal: nobody renews the address, so the kernel takes it away.
      const text = `cannot remove ${vip.text} from ${link.name}: ${errorText(error)}; it expires within ${LEASE_SECONDS} s`;
      log('warn', text, { event: 'unbind_failed' });
    }
  }
}
