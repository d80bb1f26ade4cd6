/**
 * What this node tells its peers about the clients that it serves through one VIP: changes at once, all again and
 * again. Pure.
 */
import type { Family } from '../ip/address.ts';
import { encodeMessage, messageCapacity } from './message.ts';
import type { ClientKey } from './tuple.ts';

/** How soon a change is told. A client of the last moment before a crash is one that is still sending. */
export const SHARE_INTERVAL_MS = 50;
/** At most so many clients of a sweep go into one take: 800 a second, so 10,000 take 12.5 s. */
const SWEEP_STEP = 40;
/** Few clients are not repeated more often than this. */
const SWEEP_MIN_MS = 10_000;
/**
 * Who has no client any more, or has just started, says so again and again for a while: the word of the last ends may
 * be lost with the link, and an earlier run of this node had no time for it. Three sweeps void what a peer believes.
 */
const EMPTY_SWEEP_MS = 1000;
const EMPTY_SWEEPS = 20;
/** A burst of changes is spread over takes, this many messages in each. */
const MAX_MESSAGES = 10;
/** Of ends that wait to be told. What is dropped beyond it, the sweeps make good. */
const MAX_CLOSED = 65_536;

export type ClientShareOptions = {
  readonly family: Family;
  readonly vrid: number;
  /** 32 bits; see ClientsMessage. */
  readonly generation: number;
};

export class ClientShare {
  readonly #options: ClientShareOptions;
  readonly #clients = new Set<ClientKey>();
  readonly #newlyOpened = new Set<ClientKey>();
  readonly #newlyClosed = new Set<ClientKey>();
  #sequence = 0;
  #sweep = 0;
  #sweepStartedMs = -Infinity;
  #emptySweeps = 0;
  /** What the sweep under way has still to repeat. A set's iterator sees what is added and skips what is removed. */
  #sweeping: Iterator<ClientKey> | null = null;

  constructor(options: ClientShareOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#clients.size;
  }

  has(key: ClientKey): boolean {
    return this.#clients.has(key);
  }

  opened(key: ClientKey): void {
    this.#clients.add(key);
    this.#emptySweeps = 0;
    this.#newlyClosed.delete(key);
    this.#newlyOpened.add(key);
  }

  closed(key: ClientKey): void {
    if (!this.#clients.delete(key)) return;
    // An end that was never preceded by its beginning need not be told.
    if (this.#newlyOpened.delete(key)) return;
    if (this.#newlyClosed.size < MAX_CLOSED) this.#newlyClosed.add(key);
  }

  /**
   * How long from now until `take` has something to say, ms, unless a client comes or goes before that; Infinity when
   * it never has. A node without clients must not wake up for them.
   */
  dueInMs(nowMs: number): number {
    const hasMore = this.#sweeping !== null || this.#newlyOpened.size > 0 || this.#newlyClosed.size > 0;
    return hasMore ? SHARE_INTERVAL_MS : Math.max(SHARE_INTERVAL_MS, this.#nextSweepMs - nowMs);
  }

  /**
   * The messages that are due, as octets; empty while there is nothing to say. To be called when `dueInMs` has passed.
   */
  take(nowMs: number): Uint8Array[] {
    const isEmptySweep = this.#startEmptySweep(nowMs);
    const repeated = this.#sweepStep(nowMs);
    const messages: Uint8Array[] = [];
    while (messages.length < MAX_MESSAGES) {
      const capacity = messageCapacity(this.#options.family);
      const again = messages.length === 0 ? repeated : [];
      const opened = [...again, ...takeFrom(this.#newlyOpened, capacity - again.length)];
      const closed = takeFrom(this.#newlyClosed, capacity - opened.length);
      if (opened.length + closed.length === 0 && !(isEmptySweep && messages.length === 0)) break;
      this.#sequence = (this.#sequence + 1) >>> 0;
      const { family, vrid, generation } = this.#options;
      messages.push(
        encodeMessage({
          family,
          vrid,
          generation,
          sweep: this.#sweep,
          sequence: this.#sequence,
          opened,
          closed,
        }),
      );
    }
    return messages;
  }

  /** When the next sweep may begin, unless one is under way. */
  get #nextSweepMs(): number {
    if (this.#clients.size > 0) return this.#sweepStartedMs + SWEEP_MIN_MS;
    return this.#emptySweeps === EMPTY_SWEEPS ? Infinity : this.#sweepStartedMs + EMPTY_SWEEP_MS;
  }

  #beginSweep(nowMs: number): void {
    this.#sweepStartedMs = nowMs;
    this.#sweep = (this.#sweep + 1) & 0xff;
  }

  /** A sweep that repeats nobody; false while one is not due. */
  #startEmptySweep(nowMs: number): boolean {
    if (this.#clients.size > 0 || nowMs < this.#nextSweepMs) return false;
    this.#emptySweeps += 1;
    this.#beginSweep(nowMs);
    this.#sweeping = null;
    return true;
  }

  #sweepStep(nowMs: number): ClientKey[] {
    if (this.#sweeping === null) {
      if (this.#clients.size === 0 || nowMs < this.#nextSweepMs) return [];
      this.#beginSweep(nowMs);
      this.#sweeping = this.#clients.values();
    }
    const repeated: ClientKey[] = [];
    while (repeated.length < SWEEP_STEP) {
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = null;
        break;
      }
      if (!this.#newlyOpened.has(next.value)) repeated.push(next.value);
    }
    return repeated;
  }
}

/** Takes up to `count` values out of a set, the oldest first. */
function takeFrom(keys: Set<ClientKey>, count: number): ClientKey[] {
  const taken: ClientKey[] = [];
  for (const key of keys) {
    if (taken.length >= count) break;
    taken.push(key);
  }
  for (const key of taken) keys.delete(key);
  return taken;
}
