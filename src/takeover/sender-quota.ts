/** How much each of a few senders may send in a period. Pure. */

export class SenderQuota {
  readonly #perPeriod: number;
  readonly #periodMs: number;
  readonly #counts = new Map<string, number>();
  #periodStartedMs = -Infinity;

  constructor(perPeriod: number, periodMs: number) {
    this.#perPeriod = perPeriod;
    this.#periodMs = periodMs;
  }

  /** Counts one more of a sender's; true for the one that uses the quota up. */
  take(sender: string, nowMs: number): boolean {
    this.#beginPeriod(nowMs);
    const count = (this.#counts.get(sender) ?? 0) + 1;
    this.#counts.set(sender, count);
    return count === this.#perPeriod;
  }

  isUsedUp(sender: string, nowMs: number): boolean {
    this.#beginPeriod(nowMs);
    return (this.#counts.get(sender) ?? 0) >= this.#perPeriod;
  }

  #beginPeriod(nowMs: number): void {
    if (nowMs - this.#periodStartedMs < this.#periodMs) return;
    this.#periodStartedMs = nowMs;
    this.#counts.clear();
  }
}
