/** How long two Actives have been heard, or one has been beside this one. Pure. */

export class Rivalry {
  #sinceMs = -Infinity;
  #lastMs = -Infinity;

  /**
   * A second Active was heard at `nowMs`. Returns for how long there have been two, in ms: 0 the first time, and again
   * after a silence of more than `downMs`.
   */
  note(nowMs: number, downMs: number): number {
    if (nowMs - this.#lastMs > downMs) this.#sinceMs = nowMs;
    this.#lastMs = nowMs;
    return nowMs - this.#sinceMs;
  }
}
