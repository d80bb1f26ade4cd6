/**
 * Interprets a command line in a thread that ends with it. The configuration schema and all that reads it take some 10
 * MiB, which a daemon on every control-plane node need not keep for as long as it runs.
 */
import { Worker } from 'node:worker_threads';
import type { Outcome } from './command-line.ts';

/** Rejects when the thread fails, which is a defect, never the user's mistake. */
export function interpretElsewhere(words: readonly string[]): Promise<Outcome> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(`interpret-thread.${extension}`, import.meta.url), {
      workerData: words,
    });
    let outcome: Outcome | null = null;
    worker.on('message', (message: Outcome) => {
      outcome = message;
    });
    worker.on('error', reject);
    // At its end, when what it printed has been written.
    worker.on('exit', () => {
      if (outcome === null) reject(new Error('the thread that reads the command line gave no answer'));
      else resolve(outcome);
    });
  });
}
