/** Which connections of a VIP that a successor has taken are still worth keeping for a moment. Pure. */

/** After so long the VIP leaves this node, whatever is under way: two nodes have it until then. */
export const LINGER_MAX_MS = 200;
/** How often connections are to be looked at. */
export const LINGER_STEP_MS = 5;
/** The successor has announced itself by then; a client that has not heard of it would else meet nobody. */
const LINGER_MIN_MS = 20;
/** Without a byte for so long, no request is under way; the client is better off at the successor. */
const QUIET_MS = 30;
/** A client of this age may be computing its part of a TLS handshake. */
const YOUNG_MS = 200;

/** Whether a connection is to be closed now, of this age and with its latest byte so long ago. */
export function isIdle(ageMs: number, quietMs: number): boolean {
  return ageMs >= YOUNG_MS && quietMs >= QUIET_MS;
}

/** Whether the VIP may leave this node, so long after the handover and with `open` connections left on it. */
export function mayLeave(open: number, sinceMs: number): boolean {
  return sinceMs >= LINGER_MAX_MS || (open === 0 && sinceMs >= LINGER_MIN_MS);
}
