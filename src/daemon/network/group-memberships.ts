/**
 * Has the kernel receive VRRP's multicast groups on the interface, for the election's sockets. A membership is the
 * interface's, so another socket of this host may hold it; joining, and closing a socket that has joined, take rtnl.
 */
import type { Family } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { openGroupMembership } from '../../vrrp/driver/group-membership.ts';
import type { NetworkView } from './view.ts';

/** A line of each family every minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 2;

export class GroupMemberships {
  readonly #log: Log;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  readonly #closeByFamily = new Map<Family, { readonly linkIndex: number; readonly close: () => void }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Joins where an interface can be used, and leaves where it cannot: the kernel drops the memberships of an interface
   * that goes away, also when it comes back with the same index. A failure is a line of the log.
   */
  follow({ links }: NetworkView): void {
    for (const [family, verdict] of Object.entries(links) as [Family, NetworkView['links'][Family]][]) {
      if (verdict?.usable === true) this.#join(family, verdict.link.index);
      else if (verdict?.lacks === 'link') this.#leave(family);
    }
  }

  close(): void {
    for (const { close } of this.#closeByFamily.values()) close();
    this.#closeByFamily.clear();
  }

  #join(family: Family, linkIndex: number): void {
    if (this.#closeByFamily.get(family)?.linkIndex === linkIndex) return;
    this.#leave(family);
    try {
      this.#closeByFamily.set(family, { linkIndex, close: openGroupMembership(family, linkIndex) });
    } catch (error) {
      // The interface has gone again: the next view says so.
      if (this.#logLimit.take(family, monotonicMs()) === null) return;
      this.#log('warn', `cannot receive ${family} VRRP: ${errorText(error)}`, { event: 'multicast', family });
    }
  }

  #leave(family: Family): void {
    this.#closeByFamily.get(family)?.close();
    this.#closeByFamily.delete(family);
  }
}
