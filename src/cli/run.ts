/** `kube-vrrp run`. */
import type { Config } from '../config/config.ts';
import type { Reread } from '../daemon/reload.ts';
import { StartError, runDaemon } from '../daemon/main-thread.ts';
import { NetError } from '../net/net-error.ts';
import { endAtOnce } from '../runtime/emergency.ts';
import { printError } from './terminal.ts';

/** How long a daemon that has stopped may take to close what it left open; kubelet waits 30 s before it kills. */
const LEFTOVER_MS = 1000;

/** Ends the process though something is left open. The timer itself keeps nothing alive: normally it never fires. */
function endSoon(code: number): void {
  const end = (): never => {
    printError('kube-vrrp run: stopped, and something was left open: ending all the same');
    endAtOnce(code);
  };
  setTimeout(end, LEFTOVER_MS).unref();
}

/**
 * Runs the daemon until it is stopped, and returns the exit code. `leaveSignals` is called as soon as the daemon has
 * its own handlers of signals.
 */
export async function runUntilStopped(
  config: Config,
  reread: () => Promise<Reread>,
  leaveSignals: () => void,
): Promise<number> {
  try {
    const running = runDaemon(config, reread);
    leaveSignals();
    const code = await running;
    endSoon(code);
    return code;
  } catch (error) {
    const isTold = error instanceof StartError || error instanceof NetError;
    if (!isTold) throw error;
    printError(`kube-vrrp run: ${error.message}`);
    endSoon(1);
    return 1;
  }
}
