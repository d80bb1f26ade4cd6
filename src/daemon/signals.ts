/** What the daemon does at each signal. */

export type SignalActions = {
  /** The VIP is handed over first. */
  readonly stop: (signal: NodeJS.Signals) => void;
  readonly logState: () => void;
};

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Handles signals until the process ends. */
export function handleSignals({ stop, logState }: SignalActions): void {
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  process.on('SIGUSR1', logState);
}
