/**
 * Watches whether another host says that it has the VIP: in ARP or neighbor discovery, and without VRRP. Where such
 * answers are sent to one host only, this node hears them when it asks, which it does now and then.
 */
import type { IpAddress } from '../../ip/address.ts';
import type { EthernetLink } from '../../net/link-socket.ts';
import { type AddressWatch, watchAddress } from '../../net/probe.ts';

/** By then the one that had the VIP before has lost it, and its last words have arrived. */
const FIRST_QUESTION_MS = 3000;
const QUESTION_MS = 60_000;
const POLL_MS = 1000;

export class ClaimWatch {
  private readonly onClaim: (mac: string) => void;
  private readonly watch: AddressWatch;
  private readonly timer: NodeJS.Timeout;
  private waitedMs = 0;

  /** `onClaim` gets the hardware address of each claimant, at most once a second. Throws NetError. */
  constructor(link: EthernetLink, vip: IpAddress, onClaim: (mac: string) => void) {
    this.onClaim = onClaim;
    this.watch = watchAddress(link, vip);
    this.timer = setInterval(() => this.poll(), POLL_MS);
    this.timer.unref();
  }

  close(): void {
    clearInterval(this.timer);
    this.watch.close();
  }

  private poll(): void {
    this.waitedMs += POLL_MS;
    try {
      const claimants = this.watch.claimants();
      if (this.waitedMs < FIRST_QUESTION_MS) return;
      for (const mac of claimants) this.onClaim(mac);
      if ((this.waitedMs - FIRST_QUESTION_MS) % QUESTION_MS === 0) this.watch.ask();
    } catch {
      // The link is going away: the router hears that from rtnetlink, and closes this.
    }
  }
}
