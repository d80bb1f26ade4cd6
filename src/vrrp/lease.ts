/** The addresses in the kernel, which has them for a lifetime that the Active keeps renewing. Pure. */

/** The kernel's lifetime of a bound address, whole seconds (valid_lft): a dead daemon's is gone after 1.0 to 1.5 s. */
export const LEASE_SECONDS = 1;
/** The same of a holder that has handed over and finishes what clients have begun, which it does not renew. */
export const HANDED_OVER_LEASE_SECONDS = 2;
/** Three tries to renew before the kernel may take the address away. */
export const LEASE_RENEWAL_MS = 250;
/**
 * So many failed renewals in a row, and the next one might come too late: the address is given up while it is there.
 */
export const RENEWALS = (LEASE_SECONDS * 1000) / LEASE_RENEWAL_MS - 1;
/** Out of elections for this long after giving up an address that cannot be bound or kept. */
export const HOLD_OFF_MS = 10_000;
/** An address taken from outside more often than this within HOLD_OFF_MS is given up. */
export const MAX_REPAIRS = 3;

/** The lease of one term as Active. */
export class Lease {
  #nextMs: number;
  #failures = 0;
  #failedAtMs = -Infinity;
  #losses = 0;
  #lossesSinceMs: number;

  constructor(boundAtMs: number) {
    this.#nextMs = boundAtMs + LEASE_RENEWAL_MS;
    this.#lossesSinceMs = boundAtMs;
  }

  /** When it is to be renewed. */
  get dueMs(): number {
    return this.#nextMs;
  }

  /** It is bound again, or renewed, at `nowMs`. */
  renew(nowMs: number): void {
    this.#nextMs = nowMs + LEASE_RENEWAL_MS;
  }

  /**
   * A renewal failed. Returns how many have in a row, this one included: one that comes later than the next was due
   * has had a good one before it.
   */
  fail(nowMs: number): number {
    this.#failures = nowMs - this.#failedAtMs < 1.5 * LEASE_RENEWAL_MS ? this.#failures + 1 : 1;
    this.#failedAtMs = nowMs;
    return this.#failures;
  }

  /**
   * An address was removed by somebody else, or ran out. Returns how often that has happened within HOLD_OFF_MS, this
   * time included.
   */
  lose(nowMs: number): number {
    if (nowMs - this.#lossesSinceMs > HOLD_OFF_MS) {
      this.#losses = 0;
      this.#lossesSinceMs = nowMs;
    }
    this.#losses += 1;
    return this.#losses;
  }
}
