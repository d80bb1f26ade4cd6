/**
 * The attempts to connect to backends that are under way: a slow one makes its backend suspect, then it is given up.
 */
import type { ProxyCounters } from '../counters.ts';
import type { Deadline, EventLoop } from './event-loop.ts';
import type { Relay } from './relay.ts';

/** On a healthy network a server answers in a fraction of this; a lost SYN is repeated after a second (RFC 6298). */
const SLOW_CONNECT_MS = 300;
/** How often attempts are looked at, at most. */
const ATTEMPT_TICK_MS = 20;

export class ConnectAttempts {
  readonly #loop: EventLoop;
  readonly #counters: ProxyCounters;
  readonly #timeoutMs: number;
  readonly #deadline: Deadline;
  /** In the order in which their attempts began. */
  readonly #relays = new Set<Relay>();

  /** `timeoutMs`: for each backend that a client tries. */
  constructor(loop: EventLoop, counters: ProxyCounters, timeoutMs: number) {
    this.#loop = loop;
    this.#counters = counters;
    this.#timeoutMs = timeoutMs;
    this.#deadline = loop.deadline(() => this.#check());
  }

  begin(relay: Relay): void {
    relay.attemptedAtMs = this.#loop.nowMs;
    this.#relays.add(relay);
    this.#loop.arm(this.#deadline, Math.min(SLOW_CONNECT_MS, this.#timeoutMs));
  }

  end(relay: Relay): void {
    this.#relays.delete(relay);
  }

  /** All attempts have the same time, so the oldest are due first. */
  #check(): void {
    const { nowMs } = this.#loop;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const relay of this.#relays) {
      const { attemptedAtMs, backendIndex } = relay;
      const ageMs = nowMs - attemptedAtMs;
      if (ageMs >= this.#timeoutMs) {
        relay.abandonAttempt(`no answer in ${this.#timeoutMs} ms`);
        continue;
      }
      const isSlow = ageMs >= SLOW_CONNECT_MS;
      if (isSlow) this.#counters.suspect(backendIndex, attemptedAtMs);
      nextMs = Math.min(nextMs, attemptedAtMs + (isSlow ? this.#timeoutMs : SLOW_CONNECT_MS));
      if (!isSlow) break; // all that follow are younger
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#deadline.atMs = Math.max(nextMs, nowMs + ATTEMPT_TICK_MS);
  }
}
