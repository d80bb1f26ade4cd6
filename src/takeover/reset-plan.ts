/** When which client of a lost Active is prompted: in rounds, at a bounded rate, until its fate is known. Pure. */
import type { ClientKey } from './tuple.ts';

/**
 * When the rounds begin, after the takeover. The first one follows the first announcement; a client whose neighbor
 * cache ignored that (Linux's locktime is 1 s) sends its answer to the lost node until a later one.
 */
const ROUNDS_MS: readonly number[] = [10, 250, 1_250];
const PROMPTS_PER_MS = 5;
/** What a late timer may make good at once. */
const MAX_BURST = 250;
/** Answers to the last round are looked for this long. */
const LINGER_MS = 500;

/**
 * `told`: it knows that its connection is lost. `gone`: it had none any more, as when the holder's last act was a RST.
 * `elsewhere`: it is not prompted, because no route of the VIP's interface leads to it.
 */
export type Fate = 'told' | 'gone' | 'elsewhere';

export type Prompt = { readonly key: ClientKey; readonly round: number };

export class ResetPlan {
  readonly #startedMs: number;
  readonly #waiting: Set<ClientKey>;
  #order: readonly ClientKey[];
  #round = 0;
  #position = 0;
  #roundStartedMs: number;
  readonly #counts: Record<Fate, number> = { told: 0, gone: 0, elsewhere: 0 };

  /** `clients` in the order in which they are to be served; those of the first rounds first. */
  constructor(clients: readonly ClientKey[], nowMs: number) {
    this.#startedMs = nowMs;
    this.#order = clients;
    this.#waiting = new Set(clients);
    this.#roundStartedMs = nowMs + (ROUNDS_MS[0] ?? 0);
  }

  /** How many clients have met which fate; `silent`: they have not answered. */
  get fates(): Record<Fate | 'silent', number> {
    return { ...this.#counts, silent: this.#waiting.size };
  }

  isWaiting(key: ClientKey): boolean {
    return this.#waiting.has(key);
  }

  /** This client needs no more prompts: it has answered, or is connected to this node. */
  settle(key: ClientKey, fate: Fate): void {
    if (this.#waiting.delete(key)) this.#counts[fate] += 1;
  }

  /** True when there is nothing left to do or to wait for. */
  isOver(nowMs: number): boolean {
    return (
      this.#waiting.size === 0 ||
      (this.#round >= ROUNDS_MS.length && nowMs >= this.#roundStartedMs + LINGER_MS)
    );
  }

  /** The prompts that are due now. To be called every few milliseconds. */
  due(nowMs: number): Prompt[] {
    const prompts: Prompt[] = [];
    if (this.#round >= ROUNDS_MS.length) return prompts;
    const allowed = Math.floor((nowMs - this.#roundStartedMs) * PROMPTS_PER_MS);
    const until = Math.min(this.#order.length, allowed, this.#position + MAX_BURST);
    for (; this.#position < until; this.#position += 1) {
      const key = this.#order[this.#position];
      if (key !== undefined && this.#waiting.has(key)) prompts.push({ key, round: this.#round });
    }
    if (this.#position >= this.#order.length) this.#nextRound(nowMs);
    return prompts;
  }

  #nextRound(nowMs: number): void {
    this.#round += 1;
    const dueMs = this.#startedMs + (ROUNDS_MS[this.#round] ?? 0);
    this.#roundStartedMs = Math.max(nowMs, dueMs);
    this.#position = 0;
    this.#order = this.#order.filter((key) => this.#waiting.has(key));
  }
}
