/**
 * The node that this one has handed the VIP over to. It advertises as it promotes itself, and again when its kernel has
 * bound the address, which may take a while. Until then the address has to stay here. Other makes than kube-vrrp
 * advertise only at their interval.
 */
import type { IpAddress } from '../../ip/address.ts';
import type { RouterClock } from './router-clock.ts';

/** The longest wait. A successor that has not bound the address by then leaves it on no node for the rest. */
export const SUCCESSOR_PATIENCE_MS = 300;
/** An advertisement that comes sooner than this after the one before is not due: it says that the address is bound. */
const EARLY_INTERVALS = 0.75;

export class Successor {
  readonly #source: IpAddress;
  #heardAtMs: number;
  #isBound = false;
  #onBound: (() => void) | null = null;

  /** Its first advertisement was heard at `nowMs`. */
  constructor(source: IpAddress, nowMs: number) {
    this.#source = source;
    this.#heardAtMs = nowMs;
  }

  /** A later advertisement was heard, which names this interval. */
  hear(source: IpAddress, intervalMs: number, nowMs: number): void {
    if (source.text !== this.#source.text) return;
    const isEarly = nowMs - this.#heardAtMs < EARLY_INTERVALS * intervalMs;
    this.#heardAtMs = nowMs;
    if (!isEarly) return;
    this.#isBound = true;
    this.#onBound?.();
  }

  /** Calls `run` once: when the successor has the address, or after SUCCESSOR_PATIENCE_MS. */
  whenBound(clock: Pick<RouterClock, 'startTimer'>, run: () => void): void {
    if (this.#isBound) {
      run();
      return;
    }
    const proceed = (): void => {
      stopTimer();
      this.#onBound = null;
      run();
    };
    const stopTimer = clock.startTimer(SUCCESSOR_PATIENCE_MS, proceed);
    this.#onBound = proceed;
  }
}
