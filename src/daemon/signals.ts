/** What the daemon does at each signal. */
import { LogLimit } from '../log/log-limit.ts';
import type { Log } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import { IGNORED_SIGNALS, STOP_SIGNALS } from './signal-names.ts';

export type SignalActions = {
  readonly stop: (signal: NodeJS.Signals) => void;
  readonly logState: () => void;
  /** Reads again what can be changed without a restart. */
  readonly reload: () => void;
  readonly log: Log;
};

/** Of each ignored signal. */
const LOG_PERIOD_MS = 60_000;

/** Handles signals until the process ends. */
export function handleSignals({ stop, logState, reload, log }: SignalActions): void {
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  process.on('SIGUSR1', logState);
  process.on('SIGHUP', reload);
  const limit = new LogLimit(LOG_PERIOD_MS, IGNORED_SIGNALS.length);
  for (const signal of IGNORED_SIGNALS) process.on(signal, (name) => ignore(name, limit, log));
}

function ignore(signal: NodeJS.Signals, limit: LogLimit, log: Log): void {
  const suppressed = limit.take(signal, monotonicMs());
  if (suppressed === null) return;
  const text = `${signal} is ignored: SIGTERM stops kube-vrrp, SIGHUP reads certificates and log level again, SIGUSR1 logs the state`;
  log('warn', text, { event: 'signal', signal, suppressed });
}
