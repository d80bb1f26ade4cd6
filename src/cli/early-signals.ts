/** What a signal does before the daemon listens to any. */

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Ends the process with code 0 at a signal: nothing is open yet that would have to be given up. Without this, a
 * container whose first process this is would ignore the signal and be killed half a minute later. Returns what ends
 * it.
 */
export function endAtSignals(): () => void {
  const end = (): never => process.exit(0);
  for (const signal of SIGNALS) process.on(signal, end);
  return () => {
    for (const signal of SIGNALS) process.off(signal, end);
  };
}
