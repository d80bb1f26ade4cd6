/** Starts the worker threads, from sources in development and from emitted JavaScript in the image. */
import { Worker } from 'node:worker_threads';

/** Enough for what a thread does, and a bound that turns a leak into a restart instead of a dead node. */
const MAX_OLD_GENERATION_MB = 96;
/** A small nursery: these threads make little garbage, and memory counts on every control-plane node. */
const MAX_YOUNG_GENERATION_MB = 8;

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
