/**
 * What it means that a thread has not moved: one set of rules, from which the health class, /livez, /readyz and the end
 * of the process follow. Pure: (signs of life, now) -> verdict.
 */

/** Ages of the threads' latest signs of life, ms, by their names; see ThreadVitals. */
export type ThreadAges = Readonly<Record<string, number>>;

/** A thread that has not moved for this long does not serve: this node is of class C until it does. */
export const HUNG_MS = 1250;
/** A thread that has not moved for this long fails /livez. */
const WEDGED_MS = 5000;
/** A thread that has not moved for this long ends the process, after the VIP has been given up. */
const DOOMED_MS = 10_000;
/** The network thread may wait for the kernel's configuration lock (rtnl), which a restart does not get any sooner. */
const NETWORK_WEDGED_MS = 60_000;
const NETWORK = 'network';
/** A look that is this late finds signs of life that are as old: it says nothing about the other threads. */
const LATE_LOOK_MS = 1000;

/** One sentence for each thread that clients or the election cannot rely on now. */
export function hungThreads(ages: ThreadAges): string[] {
  return olderThan(ages, (name) => (name === NETWORK ? Infinity : HUNG_MS));
}

/** One sentence for each thread that makes a restart worth it. */
export function wedgedThreads(ages: ThreadAges): string[] {
  return olderThan(ages, (name) => (name === NETWORK ? NETWORK_WEDGED_MS : WEDGED_MS));
}

function doomedThreads(ages: ThreadAges): string[] {
  return olderThan(ages, (name) => (name === NETWORK ? Infinity : DOOMED_MS));
}

function olderThan(ages: ThreadAges, limitMs: (name: string) => number): string[] {
  return Object.entries(ages)
    .filter(([name, ageMs]) => ageMs > limitMs(name))
    .map(([name, ageMs]) => `the ${name} thread has not moved for ${Math.round(ageMs)} ms`);
}

export type Verdict = {
  /** Why this node cannot serve, as one sentence; null: nothing is in the way. */
  readonly impediment: string | null;
  /** Why the process has to end; null: it has not. */
  readonly doom: string | null;
};

/** Judges the threads at every look of the election's thread. */
export class Supervision {
  readonly #maxHealthAgeMs: number;
  #healthAtMs: number | null = null;
  #lookedAtMs: number | null = null;
  #verdict: Verdict = { impediment: null, doom: null };

  /** Health that is older than `maxHealthAgeMs` no longer counts. */
  constructor(maxHealthAgeMs: number) {
    this.#maxHealthAgeMs = maxHealthAgeMs;
  }

  /** The checks have reported at `nowMs`. */
  noteHealth(nowMs: number): void {
    this.#healthAtMs = nowMs;
  }

  look(ages: ThreadAges, nowMs: number): Verdict {
    const isLate = this.#lookedAtMs !== null && nowMs - this.#lookedAtMs > LATE_LOOK_MS;
    this.#lookedAtMs = nowMs;
    // This thread did not run either: the others get the time until the next look.
    if (!isLate) this.#verdict = this.#judge(ages, nowMs);
    return this.#verdict;
  }

  #judge(ages: ThreadAges, nowMs: number): Verdict {
    const impediments = hungThreads(ages);
    const healthAgeMs = this.#healthAtMs === null ? 0 : nowMs - this.#healthAtMs;
    if (healthAgeMs > this.#maxHealthAgeMs)
      impediments.push(`no API server has been checked for ${Math.round(healthAgeMs)} ms`);
    const dooms = doomedThreads(ages);
    return {
      impediment: impediments.length === 0 ? null : impediments.join('; '),
      doom: dooms.length === 0 ? null : dooms.join('; '),
    };
  }
}
