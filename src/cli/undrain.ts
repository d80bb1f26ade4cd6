/** `kube-vrrp undrain`. */
import type { Invocation } from './arguments.ts';
import { ask } from './daemon-client.ts';
import { withControlSocket } from './drain.ts';
import { print, printError } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 5000;

/** Ends a drain. */
export function undrainCommand(invocation: Invocation): Promise<number> {
  return withControlSocket('undrain', invocation, async (endpoint) => {
    const { status } = await ask(endpoint, 'POST', '/undrain', ANSWER_TIMEOUT_MS);
    if (status !== 200) {
      printError(`kube-vrrp undrain: ${endpoint.text} answered ${status}`);
      return 1;
    }
    print('this node may hold the VIP again');
    return 0;
  });
}
