/** VIPs that are on an interface of this node without an election: found, removed, and told. */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import type { InterfaceAddress } from '../../net/rtnetlink-messages.ts';
import type { InterfaceTable } from './interfaces.ts';

/** From when a VIP appears that should not be there until it is removed. */
const SWEEP_MS = 250;
/** What others can make it log: a line per kind each minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 64;

export type StaleVipsOptions = {
  readonly vips: readonly IpAddress[];
  readonly interfaces: Pick<InterfaceTable, 'allAddresses' | 'allLinks'>;
  /** See RtNetlink. */
  readonly removeExactly: (address: InterfaceAddress) => boolean;
  /** Whether a router has this VIP now, as it stands there, or is about to have it removed. */
  readonly isOurs: (address: InterfaceAddress) => boolean;
  readonly log: Log;
};

export class StaleVips {
  readonly #options: StaleVipsOptions;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  #sweepTimer: NodeJS.Timeout | null = null;

  constructor(options: StaleVipsOptions) {
    this.#options = options;
  }

  isVip(address: IpAddress): boolean {
    return this.#options.vips.some((vip) => vip.text === address.text);
  }

  /**
   * Removes VIPs that no router here has bound, and says so: nobody may hold one without an election. An earlier run
   * may have left them, or another program or a hand have put them there. Throws NetlinkError.
   */
  sweep(): void {
    const { interfaces, removeExactly, log } = this.#options;
    for (const stale of interfaces.allAddresses()) {
      if (!this.#isStale(stale) || !removeExactly(stale)) continue;
      const { address, linkIndex, prefixLength } = stale;
      const link = interfaces.allLinks().find(({ index }) => index === linkIndex);
      const what = `${address.text}/${prefixLength} on ${link?.name ?? `link ${linkIndex}`}`;
      const suppressed = this.#logLimit.take(`sweep ${what}`, monotonicMs());
      if (suppressed === null) continue;
      const text = `removed a stale VIP, ${what}: no node may hold it without an election; see that nothing else configures it`;
      log('warn', text, { event: 'sweep', suppressed });
    }
  }

  /** The same while the daemon runs: a failure is a line of the log. */
  sweepAgain(): void {
    try {
      this.sweep();
    } catch (error) {
      const suppressed = this.#logLimit.take('sweep failed', monotonicMs());
      if (suppressed === null) return;
      const text = `cannot remove a stale VIP: ${errorText(error)}; remove it by hand`;
      this.#options.log('warn', text, { event: 'sweep', suppressed });
    }
  }

  /**
   * This address has appeared; if it is a stale one there is a sweep soon. Not at once: word of the last renewal may
   * come after the lease has ended, and another program may try again.
   */
  look(address: InterfaceAddress): void {
    if (!this.#isStale(address)) return;
    this.#sweepTimer ??= setTimeout(() => {
      this.#sweepTimer = null;
      this.sweepAgain();
    }, SWEEP_MS);
  }

  close(): void {
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer);
  }

  #isStale(address: InterfaceAddress): boolean {
    return this.isVip(address.address) && !this.#options.isOurs(address);
  }
}
