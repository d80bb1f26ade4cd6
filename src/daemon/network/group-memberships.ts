/**
 * Has the kernel receive VRRP's multicast groups on the interface, for the election's sockets. A membership is the
 * interface's, so another socket of this host may hold it; joining, and closing a socket that has joined, take rtnl.
 */
import type { Family } from '../../ip/address.ts';
import { openGroupMembership } from '../../vrrp/driver/group-membership.ts';

export class GroupMemberships {
  readonly #closeByFamily = new Map<Family, { readonly linkIndex: number; readonly close: () => void }>();

  /**
   * Joins the group of the family on this interface; a membership of an interface that is gone has gone with it. Throws
   * NetError.
   */
  join(family: Family, linkIndex: number): void {
    const before = this.#closeByFamily.get(family);
    if (before?.linkIndex === linkIndex) return;
    before?.close();
    this.#closeByFamily.delete(family);
    this.#closeByFamily.set(family, { linkIndex, close: openGroupMembership(family, linkIndex) });
  }

  close(): void {
    for (const { close } of this.#closeByFamily.values()) close();
    this.#closeByFamily.clear();
  }
}
