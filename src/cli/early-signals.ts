/** What a signal does before the daemon listens to any. */
import { IGNORED_SIGNALS, STOP_SIGNALS } from '../daemon/signal-names.ts';

/** Nothing has been read yet that could be read again. */
const UNHEEDED = ['SIGHUP', ...IGNORED_SIGNALS] as const;

/**
 * Ends the process with code 0 at a signal that ends the daemon: nothing is open yet that would have to be given up.
 * Without this, a container whose first process this is would ignore the signal and be killed half a minute later. All
 * other signals change nothing. Returns what ends it.
 */
export function endAtSignals(): () => void {
  const end = (): never => process.exit(0);
  const pass = (): void => undefined;
  for (const signal of STOP_SIGNALS) process.on(signal, end);
  for (const signal of UNHEEDED) process.on(signal, pass);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, end);
    for (const signal of UNHEEDED) process.off(signal, pass);
  };
}
