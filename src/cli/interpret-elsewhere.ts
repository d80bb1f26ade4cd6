/**
 * Interprets a command line in a thread that ends with it. The configuration schema and all that reads it take some 10
 * MiB, which a daemon on every control-plane node need not keep for as long as it runs.
 */
import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import type { Reread } from '../daemon/reload.ts';
import { errorText } from '../log/error-text.ts';
import type { Outcome } from './command-line.ts';

/** Rejects when the thread fails, which is a defect, never the user's mistake. */
export function interpretElsewhere(words: readonly string[]): Promise<Outcome> {
  return outcomeOf(startThread(words));
}

/** Standard input has been read to its end, or would be waited for. */
function isFromStandardInput(words: readonly string[]): boolean {
  const flag = words.findLastIndex((word) => word === '--config' || word.startsWith('--config='));
  if (flag === -1) return process.env['KUBE_VRRP_CONFIG'] === '-';
  return words[flag] === '--config=-' || (words[flag] === '--config' && words[flag + 1] === '-');
}

/** Interprets the words of a daemon that runs once more. Never rejects, and prints nothing. */
export async function rereadElsewhere(words: readonly string[]): Promise<Reread> {
  if (isFromStandardInput(words))
    return { problems: 'it came from standard input, which cannot be read again: name a file with --config' };
  try {
    const worker = startThread(words, { stderr: true });
    const complaints = text(worker.stderr);
    const outcome = await outcomeOf(worker);
    if ('run' in outcome) return { config: outcome.run };
    return {
      problems: (await complaints)
        .trim()
        .split(/\s*\n\s*/u)
        .join('; '),
    };
  } catch (error) {
    return { problems: errorText(error) };
  }
}

function startThread(words: readonly string[], options: { readonly stderr?: boolean } = {}): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const file = new URL(`interpret-thread.${extension}`, import.meta.url);
  return new Worker(file, { ...options, workerData: words });
}

function outcomeOf(worker: Worker): Promise<Outcome> {
  return new Promise((resolve, reject) => {
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
