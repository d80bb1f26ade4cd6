/**
 * How many clients each address has, in memory that all proxy threads share: a hash table with linear probing behind a
 * lock that is held for the time of one step. The clients are limited, so the table cannot fill up.
 *
 * Layout, in Int32: the lock, a seed, then slots of five: the count (0: free) and the address in four, IPv4 as it is
 * mapped into IPv6.
 */
import { parseSocketAddress } from '../ip/address.ts';

const LOCK = 0;
const SEED = 1;
const HEAD_WORDS = 2;
const SLOT_WORDS = 5;
const MAPPED_WORD = 0xffff;
/** A thread may be preempted while it holds the lock. */
const LOCK_WAIT_MS = 1;

type Key = readonly [number, number, number, number];

export class SourceCounts {
  readonly #words: Int32Array;
  /** The number of slots, a power of two, less one. */
  readonly #mask: number;

  /**
   * Memory for at most `maxSources` addresses at a time. `seed` keeps strangers from choosing addresses that collide.
   */
  static createMemory(maxSources: number, seed: number): SharedArrayBuffer {
    const slots = 2 ** Math.ceil(Math.log2(2 * maxSources + 2));
    const memory = new SharedArrayBuffer((HEAD_WORDS + slots * SLOT_WORDS) * Int32Array.BYTES_PER_ELEMENT);
    new Int32Array(memory)[SEED] = seed;
    return memory;
  }

  /** A view of what `createMemory` made. */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    this.#mask = (this.#words.length - HEAD_WORDS) / SLOT_WORDS - 1;
  }

  /** Counts one more client of `source`, unless it has `limit` already; false then. */
  take(source: string, limit: number): boolean {
    const key = keyOf(source);
    return this.#locked(() => {
      const at = this.#find(key);
      const count = this.#word(at);
      if (count >= limit) return false;
      this.#words[at] = count + 1;
      this.#words.set(key, at + 1);
      return true;
    });
  }

  /** One client of `source`, which was counted, has left. */
  give(source: string): void {
    const key = keyOf(source);
    this.#locked(() => {
      const at = this.#find(key);
      const count = this.#word(at);
      if (count > 1) this.#words[at] = count - 1;
      else if (count === 1) this.#free(at);
    });
  }

  #locked<Result>(step: () => Result): Result {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) {
      Atomics.wait(this.#words, LOCK, 1, LOCK_WAIT_MS);
    }
    try {
      return step();
    } finally {
      Atomics.store(this.#words, LOCK, 0);
      Atomics.notify(this.#words, LOCK, 1);
    }
  }

  /** Where the slot of `key` begins, or the free one that it would get. */
  #find(key: Key): number {
    for (let slot = this.#home(key); ; slot += 1) {
      const at = this.#at(slot);
      if (this.#word(at) === 0 || key.every((word, index) => this.#word(at + 1 + index) === word)) return at;
    }
  }

  /** Frees a slot, and closes the gap that those who were displaced by it would be lost behind. */
  #free(at: number): void {
    let gap = (at - HEAD_WORDS) / SLOT_WORDS;
    for (let slot = gap + 1; this.#word(this.#at(slot)) !== 0; slot += 1) {
      const from = this.#at(slot);
      const displacement = (slot - this.#home(this.#keyAt(from))) & this.#mask;
      if (displacement < slot - gap) continue; // its home is behind the gap
      this.#words.copyWithin(this.#at(gap), from, from + SLOT_WORDS);
      gap = slot;
    }
    this.#words[this.#at(gap)] = 0;
  }

  #keyAt(at: number): Key {
    return [this.#word(at + 1), this.#word(at + 2), this.#word(at + 3), this.#word(at + 4)];
  }

  #home(key: Key): number {
    let hash = this.#word(SEED);
    for (const word of key) {
      hash = Math.imul(hash ^ word, 0x85eb_ca6b);
      hash ^= hash >>> 15;
    }
    return hash & this.#mask;
  }

  #at(slot: number): number {
    return HEAD_WORDS + (slot & this.#mask) * SLOT_WORDS;
  }

  #word(index: number): number {
    return this.#words[index] ?? 0;
  }
}

/** What is no address counts as one, `::`. */
function keyOf(source: string): Key {
  const { family, octets } = parseSocketAddress(source) ?? { family: 'IPv6', octets: new Uint8Array(16) };
  const word = (at: number): number =>
    ((octets[at] ?? 0) << 24) |
    ((octets[at + 1] ?? 0) << 16) |
    ((octets[at + 2] ?? 0) << 8) |
    (octets[at + 3] ?? 0);
  return family === 'IPv4' ? [0, 0, MAPPED_WORD, word(0)] : [word(0), word(4), word(8), word(12)];
}
