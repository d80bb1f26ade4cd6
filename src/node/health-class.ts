/** How much a node can serve: what health finds, and what VRRP makes a priority of. Pure. */

/** A: the proxy listens and the local API server is healthy; B: only peers' are; C: nothing to serve. */
export type HealthClass = 'A' | 'B' | 'C';
