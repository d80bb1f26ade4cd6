/** Which connections of a VIP that a successor has taken are still worth keeping for a moment. Pure. */

/** After so long the VIP leaves this node, whatever is under way: two nodes have it until then. */
export const LINGER_MAX_MS = 1000;
/** How often connections are to be looked at. */
export const LINGER_STEP_MS = 5;
/** The successor has announced itself by then; a client that has not heard of it would else meet nobody. */
const LINGER_MIN_MS = 20;
/** An answer without a byte more for so long is whole; the client is better off at the successor. */
const QUIET_MS = 30;
/**
 * Before that, who spoke last tells nothing: a client may be computing its part of a TLS handshake, and a TLS 1.3
 * server sends its session tickets after the first request has come (RFC 8446 4.6.1).
 */
export const YOUNG_MS = 1000;

/** What is known of the use of a connection whose bytes are encrypted. */
export type Use = {
  readonly ageMs: number;
  /** Since its latest bytes. */
  readonly quietMs: number;
  /** Its latest bytes are the client's: an API server takes as long as it needs, and says nothing meanwhile. */
  readonly awaitsAnswer: boolean;
};

/** Whether no request is under way on a connection, so that it is to be closed now. */
export function isIdle({ ageMs, quietMs, awaitsAnswer }: Use): boolean {
  return !awaitsAnswer && ageMs >= YOUNG_MS && quietMs >= QUIET_MS;
}

/** Whether the VIP may leave this node, so long after the handover and with `open` connections left on it. */
export function mayLeave(open: number, sinceMs: number): boolean {
  return sinceMs >= LINGER_MAX_MS || (open === 0 && sinceMs >= LINGER_MIN_MS);
}
