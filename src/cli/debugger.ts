/**
 * Imported before everything else: SIGUSR1 must not open V8's debugger, in which every process of the host's network
 * could run code with the capabilities of this one. Node opens it at the signal unless the program has a handler of its
 * own. With --disable-sigusr1, as in the image, Node blocks the signal from its first moment on.
 */
import { close, url } from 'node:inspector';

/** Node opens the debugger some time after the signal: later than this only where the machine stands still. */
const LAST_LOOK_MS = 10_000;

const isWanted = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((words) =>
  words.includes('--inspect'),
);

/** Closes what a signal has opened that came before the handler was there, now and at ever later times. */
function closeDebugger(againInMs: number): void {
  if (url() !== undefined) close();
  if (againInMs < LAST_LOOK_MS) setTimeout(closeDebugger, againInMs, 2 * againInMs).unref();
}

process.on('SIGUSR1', () => undefined);
if (!isWanted) closeDebugger(1);
