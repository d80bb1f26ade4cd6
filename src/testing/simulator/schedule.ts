/**
 * Simulated time: what is to happen, in order. What falls on one instant happens in the order in which it was asked.
 */

export type Task = { run(): void };

/** A binary heap in three parallel arrays, so that an entry costs no object of its own. */
export class Schedule {
  #currentMs = 0;
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #tasks: Task[] = [];
  #asked = 0;

  get nowMs(): number {
    return this.#currentMs;
  }

  /** Runs `task` at `timeMs`, or now if that has passed. There is no canceling: a task finds out that it is stale. */
  at(timeMs: number, task: Task): void {
    const order = this.#asked;
    this.#asked += 1;
    let hole = this.#times.length;
    const whenMs = Math.max(timeMs, this.#currentMs);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      // Orders only grow, so that among equal times the newcomer stays below.
      if (this.#times[parent]! <= whenMs) break;
      this.#move(parent, hole);
      hole = parent;
    }
    this.#place(hole, whenMs, order, task);
  }

  after(delayMs: number, task: Task): void {
    this.at(this.#currentMs + delayMs, task);
  }

  /** Lets time pass until `endMs`, and everything happen that is due by then. */
  runUntil(endMs: number): void {
    while (this.#times.length > 0 && this.#times[0]! <= endMs) {
      this.#currentMs = this.#times[0]!;
      this.#takeFirst().run();
    }
    this.#currentMs = Math.max(this.#currentMs, endMs);
  }

  #takeFirst(): Task {
    const first = this.#tasks[0]!;
    const timeMs = this.#times.pop()!;
    const order = this.#orders.pop()!;
    const task = this.#tasks.pop()!;
    const size = this.#times.length;
    if (size === 0) return first;
    let hole = 0;
    while (true) {
      let child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(child + 1, this.#times[child]!, this.#orders[child]!))
        child += 1;
      if (!this.#isBefore(child, timeMs, order)) break;
      this.#move(child, hole);
      hole = child;
    }
    this.#place(hole, timeMs, order, task);
    return first;
  }

  #isBefore(index: number, timeMs: number, order: number): boolean {
    const ownMs = this.#times[index]!;
    return ownMs < timeMs || (ownMs === timeMs && this.#orders[index]! < order);
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#times[from]!, this.#orders[from]!, this.#tasks[from]!);
  }

  #place(index: number, timeMs: number, order: number, task: Task): void {
    this.#times[index] = timeMs;
    this.#orders[index] = order;
    this.#tasks[index] = task;
  }
}
