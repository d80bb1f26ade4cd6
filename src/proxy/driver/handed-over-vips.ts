/** VIPs that a successor has taken, until their connections here are finished. */
import { isIdle, LINGER_STEP_MS, mayLeave } from '../lingering.ts';
import type { Deadline, EventLoop } from './event-loop.ts';
import type { Relay } from './relay.ts';

/** The proxy whose connections they are. */
export type VipConnections = {
  /** Also of clients that only the kernel has accepted so far. */
  on(address: string): Relay[];
  /** Resets these, which are on `address`, and returns how many. */
  reset(address: string, relays: readonly Relay[]): number;
};

type Leaving = {
  readonly address: string;
  /** monotonicMs. */
  readonly sinceMs: number;
  closed: number;
  readonly resolve: (closed: number) => void;
};

export class HandedOverVips {
  readonly #loop: EventLoop;
  readonly #connections: VipConnections;
  readonly #deadline: Deadline;
  readonly #leaving = new Set<Leaving>();

  constructor(loop: EventLoop, connections: VipConnections) {
    this.#loop = loop;
    this.#connections = connections;
    this.#deadline = loop.deadline(() => this.#look());
  }

  /**
   * Resets the connections on `address` that are not being used, and the others as soon as they have their answers, at
   * the latest after LINGER_MAX_MS. Resolves with how many were reset.
   */
  finish(address: string): Promise<number> {
    return new Promise((resolve) => {
      this.#leaving.add({ address, sinceMs: this.#loop.nowMs, closed: 0, resolve });
      this.#look();
    });
  }

  #look(): void {
    const { nowMs } = this.#loop;
    for (const leaving of this.#leaving) {
      const { address, sinceMs, resolve } = leaving;
      const relays = this.#connections.on(address);
      const isOver = mayLeave(relays.length, nowMs - sinceMs);
      // What is held back is the rest of an answer that its client reads slowly.
      const isDone = ({ acceptedAtMs, activeAtMs, awaitsAnswer, isHeldBack }: Relay): boolean =>
        isOver ||
        (!isHeldBack && isIdle({ ageMs: nowMs - acceptedAtMs, quietMs: nowMs - activeAtMs, awaitsAnswer }));
      leaving.closed += this.#connections.reset(address, relays.filter(isDone));
      if (!isOver) continue;
      this.#leaving.delete(leaving);
      resolve(leaving.closed);
      this.#loop.giveNodeATurn();
    }
    if (this.#leaving.size > 0) this.#deadline.atMs = nowMs + LINGER_STEP_MS;
  }
}
