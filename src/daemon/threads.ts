/** Starts the worker threads, from sources in development and from emitted JavaScript in the image. */
import { Worker } from 'node:worker_threads';

/** Enough for what a thread does, and a bound that turns a leak into a restart instead of a dead node. */
const MAX_OLD_GENERATION_MB = 96;
/** A small nursery: these threads make little garbage, and memory counts on every control-plane node. */
const MAX_YOUNG_GENERATION_MB = 8;

/** What Node calls a thread that is no more; its `exit` event has been, and does not come again. */
const ENDED_THREAD_ID = -1;
/** JavaScript ends within milliseconds; a system call may not. */
const TERMINATION_MS = 1000;

/** `path` is relative to this folder, without its extension. */
export function startThread(path: string, name: string, workerData: unknown): Worker {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new Worker(new URL(`${path}${extension}`, import.meta.url), {
    name,
    workerData,
    resourceLimits: {
      maxOldGenerationSizeMb: MAX_OLD_GENERATION_MB,
      maxYoungGenerationSizeMb: MAX_YOUNG_GENERATION_MB,
    },
  });
}

/**
 * Resolves when a thread that was told to end has done so, at once when it ended before. One that has not after
 * `patienceMs` is ended by force, and one that is stuck in a system call even then is not waited for.
 */
export async function ended(worker: Worker, patienceMs: number): Promise<void> {
  if (worker.threadId === ENDED_THREAD_ID) return;
  const timers: NodeJS.Timeout[] = [];
  await new Promise<void>((resolve) => {
    worker.once('exit', () => resolve());
    timers.push(setTimeout(() => void worker.terminate(), patienceMs));
    timers.push(setTimeout(resolve, patienceMs + TERMINATION_MS));
  });
  for (const timer of timers) clearTimeout(timer);
}
