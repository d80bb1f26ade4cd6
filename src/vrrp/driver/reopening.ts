/**
 * When sockets that failed are opened again: sooner after the first failure than after many. Times are monotonic ms.
 */

const FIRST_MS = 1000;
/** Long enough to cost next to nothing, and short enough for a node that is needed. */
const LONGEST_MS = 8000;
/** Sockets that have worked for this long are not part of the same trouble. */
const LASTING_MS = 60_000;

export class Reopening {
  #nextMs = FIRST_MS;
  #openedAtMs = Infinity;

  opened(nowMs: number): void {
    this.#openedAtMs = nowMs;
  }

  /** They failed, or could not be opened. Returns after how long to try again, in ms. */
  failed(nowMs: number): number {
    if (nowMs - this.#openedAtMs >= LASTING_MS) this.#nextMs = FIRST_MS;
    this.#openedAtMs = Infinity;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(2 * delayMs, LONGEST_MS);
    return delayMs;
  }
}
