/** Signs of life of each thread, in memory that all of them share: no messages, so a wedged thread cannot hide. */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { monotonicMs } from './clock.ts';

/** Threads in the order of their slots; proxy workers follow from `proxy0` on. */
export const THREAD_ELECTION = 0;
export const THREAD_SERVICES = 1;
export const THREAD_NETWORK = 2;
export const THREAD_PROXY = 3;

const FIELDS = 3;
const HEARTBEAT_MS = 250;
const DELAY_WINDOW_BEATS = 40;
/** Coarse on purpose: each sample wakes the thread. */
const DELAY_RESOLUTION_MS = 250;

export type ThreadVitals = {
  readonly heartbeatAgeMs: number;
  /** How late timers ran in the last ten seconds or so. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
};

export function createThreadVitals(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * FIELDS * Float64Array.BYTES_PER_ELEMENT);
}

/**
 * Writes this thread's signs of life until the returned function is called. While `works` answers false there is no
 * heartbeat: a loop that turns without doing its job is not alive.
 */
export function beat(
  vitals: SharedArrayBuffer,
  thread: number,
  works: () => boolean = () => true,
): () => void {
  const fields = new Float64Array(vitals, thread * FIELDS * Float64Array.BYTES_PER_ELEMENT, FIELDS);
  const histogram = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  histogram.enable();
  let beats = 0;
  fields[0] = monotonicMs();
  const timer = setInterval(() => {
    if (works()) fields[0] = monotonicMs();
    beats += 1;
    if (beats % DELAY_WINDOW_BEATS !== 0) return;
    fields[1] = Math.max(0, histogram.percentile(99) / 1e6 - DELAY_RESOLUTION_MS);
    fields[2] = Math.max(0, histogram.max / 1e6 - DELAY_RESOLUTION_MS);
    histogram.reset();
  }, HEARTBEAT_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    histogram.disable();
  };
}

/**
 * The signs of life of a thread that waits outside Node's loop, in which no timer of Node's is on time. It calls
 * `turned` after each turn with how long that took (ms), for that is how late others were; and `beat` each
 * HEARTBEAT_MS.
 */
export class LoopVitals {
  static readonly intervalMs = HEARTBEAT_MS;
  readonly #fields: Float64Array;
  readonly #turnsUs = createHistogram();
  #beats = 0;

  constructor(vitals: SharedArrayBuffer, thread: number) {
    this.#fields = new Float64Array(vitals, thread * FIELDS * Float64Array.BYTES_PER_ELEMENT, FIELDS);
    this.#fields[0] = monotonicMs();
  }

  turned(durationMs: number): void {
    this.#turnsUs.record(Math.max(1, Math.round(durationMs * 1000)));
  }

  beat(): void {
    this.#fields[0] = monotonicMs();
    this.#beats += 1;
    if (this.#beats % DELAY_WINDOW_BEATS !== 0) return;
    this.#fields[1] = this.#turnsUs.percentile(99) / 1000;
    this.#fields[2] = this.#turnsUs.max / 1000;
    this.#turnsUs.reset();
  }
}

/** The latest signs of life of a thread; a thread that has not begun has an age since boot. */
export function readThreadVitals(vitals: SharedArrayBuffer, thread: number): ThreadVitals {
  const fields = new Float64Array(vitals, thread * FIELDS * Float64Array.BYTES_PER_ELEMENT, FIELDS);
  return {
    heartbeatAgeMs: monotonicMs() - (fields[0] ?? 0),
    delayP99Ms: fields[1] ?? 0,
    delayMaxMs: fields[2] ?? 0,
  };
}
