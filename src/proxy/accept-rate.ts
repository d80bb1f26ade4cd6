/** How many clients may come each second, counted in memory that all proxy threads share. */

const NS_PER_MS = 1_000_000;
/** As many as come in this time may come at once after a quiet one. */
const BURST_MS = 1_000;

/**
 * A token bucket as one number (GCRA): the time until which the clients that came so far use up the rate. Nobody may
 * come while that is further ahead than the burst. Times are monotonicMs.
 */
export class AcceptRate {
  readonly #usedUntilNs: BigInt64Array;
  readonly #intervalMs: number;

  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** A view of what `createMemory` made. `perSecond` 0: no limit. */
  constructor(memory: SharedArrayBuffer, perSecond: number) {
    this.#usedUntilNs = new BigInt64Array(memory);
    this.#intervalMs = perSecond === 0 ? 0 : 1000 / perSecond;
  }

  /** 0 when another client may come now, else the time until one may (ms). */
  waitMs(nowMs: number): number {
    if (this.#intervalMs === 0) return 0;
    const usedUntilMs = Number(Atomics.load(this.#usedUntilNs, 0)) / NS_PER_MS;
    return Math.max(0, usedUntilMs + this.#intervalMs - BURST_MS - nowMs);
  }

  /** A client has come. Threads that looked at the same moment take one each; who comes next waits for them all. */
  take(nowMs: number): void {
    if (this.#intervalMs === 0) return;
    const nowNs = toNs(nowMs);
    for (;;) {
      const usedUntilNs = Atomics.load(this.#usedUntilNs, 0);
      const nextNs = (usedUntilNs > nowNs ? usedUntilNs : nowNs) + toNs(this.#intervalMs);
      if (Atomics.compareExchange(this.#usedUntilNs, 0, usedUntilNs, nextNs) === usedUntilNs) return;
    }
  }
}

function toNs(ms: number): bigint {
  return BigInt(Math.round(ms * NS_PER_MS));
}
