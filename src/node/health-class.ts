/** How much a node can serve: what health finds, and what VRRP makes a priority of. Pure. */

/**
 * A: the proxy listens and the local API server is healthy; B: only peers' are; U: API servers answer, but none can be
 * verified (a certificate of another CA, one that has expired, a path that is not there); C: nothing to serve.
 */
export type HealthClass = (typeof HEALTH_CLASSES)[number];

/** From the best to the worst. */
export const HEALTH_CLASSES = ['A', 'B', 'U', 'C'] as const;
