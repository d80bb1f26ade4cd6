/** What a Router knows of time: an option, so that the simulator can have a time of its own. */
import { monotonicMs, suspendedMs } from '../../runtime/clock.ts';

export type RouterClock = {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Calls `onTime` once, after `delayMs` (whole, at least 1); returns what prevents it. */
  startTimer(delayMs: number, onTime: () => void): () => void;
  /** For how long the machine has been suspended since it booted, ms; `nowMs` leaves that out. */
  suspendedMs(): number;
  /** Wall-clock time, for what people read. */
  date(): Date;
};

/** CLOCK_MONOTONIC, and Node's timers and dates. */
export const SYSTEM_CLOCK: RouterClock = {
  nowMs: monotonicMs,
  startTimer: (delayMs, onTime) => {
    const timer = setTimeout(onTime, delayMs);
    return () => clearTimeout(timer);
  },
  suspendedMs,
  date: () => new Date(),
};
