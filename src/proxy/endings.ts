/** How the connections of clients that were let in end: counted by reason, and in the debug line of each. Pure. */

/** Each ending, with the first letter of what HAProxy logs for it (its manual, 8.5) where it has one. */
export const ENDINGS = [
  /** Both sides have sent FIN (`-`). */
  'finished',
  /** The client has sent RST (`C`). */
  'client_reset',
  /** The client answers no longer, or cannot be reached (`c`). */
  'client_unreachable',
  /** The backend has sent RST (`S`). */
  'backend_reset',
  /** The backend answers no longer, or cannot be reached (`s`). */
  'backend_unreachable',
  /** Somebody on the node has ended a socket from outside, as `ss -K` does (`K`). */
  'aborted',
  /** No backend could be reached (`S`). */
  'no_backend',
  /** The VIP has left the node (`K`). */
  'vip_removed',
  /** The checks of the backend have failed, and another one is healthy (`D`). */
  'backend_down',
  /** Idle, and older than proxy.maxConnectionAge (`K`). */
  'age',
  /** The daemon stops (`K`). */
  'stopping',
  /** The kernel lacks memory or another resource for this connection (`R`). */
  'no_resources',
] as const;

export type Ending = (typeof ENDINGS)[number];

/** The two sides of a relayed connection. */
export type Side = 'client' | 'backend';

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
]);

/** The ending of a connection on one side of which a call has failed with `code`, an errno name. */
export function endingOf(side: Side, code: string): Ending {
  if (code === 'ECONNABORTED') return 'aborted';
  return UNREACHABLE.has(code) ? `${side}_unreachable` : `${side}_reset`;
}
