/**
 * Watches whether another host says that it has the VIP: in ARP or neighbor discovery, and without VRRP. Where such
 * answers are sent to one host only, this node hears them when it asks, which it does now and then.
 */
import type { IpAddress } from '../../ip/address.ts';
import type { EthernetLink } from '../../net/link-socket.ts';
import { type AddressWatch, watchAddress } from './address-claims.ts';

/** By then the one that had the VIP before has lost it, and its last words have arrived. */
const FIRST_QUESTION_MS = 3000;
const QUESTION_MS = 60_000;
const POLL_MS = 1000;

export type ClaimHandlers = {
  /** Gets the hardware address of each claimant, at most once a second. */
  readonly onClaim: (mac: string) => void;
  /** The watch has ended by itself. */
  readonly onError: (error: unknown) => void;
};

export class ClaimWatch {
  readonly #handlers: ClaimHandlers;
  readonly #watch: AddressWatch;
  readonly #timer: NodeJS.Timeout;
  #waitedMs = 0;

  /** Watches until it is closed. Throws NetError. */
  constructor(link: EthernetLink, vip: IpAddress, handlers: ClaimHandlers) {
    this.#handlers = handlers;
    this.#watch = watchAddress(link, vip);
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watch.close();
  }

  #poll(): void {
    this.#waitedMs += POLL_MS;
    try {
      const claimants = this.#watch.claimants();
      if (this.#waitedMs < FIRST_QUESTION_MS) return;
      if ((this.#waitedMs - FIRST_QUESTION_MS) % QUESTION_MS === 0) this.#watch.ask();
      // At last: a claim may end this watch.
      for (const mac of claimants) this.#handlers.onClaim(mac);
    } catch (error) {
      this.close();
      this.#handlers.onError(error);
    }
  }
}
