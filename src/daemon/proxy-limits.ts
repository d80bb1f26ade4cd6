/** What the proxy's limits are, by the configuration and the limit on open files. Pure. */
import type { Config } from '../config/config.ts';
import type { ProxyLimits } from '../proxy/admission.ts';

/** `possible`: clients that the limit on open files is enough for. `warning`: what was asked for and cannot be. */
export function proxyLimits(
  {
    maxConnections,
    maxConnectionsPerSource,
    allowedSources,
    acceptRate,
    maxConnectionAgeMs,
  }: Config['proxy'],
  possible: number,
): { readonly limits: ProxyLimits; readonly warning: string | null } {
  const wanted = maxConnections === 'auto' ? possible : maxConnections;
  const limits = {
    maxConnections: Math.min(wanted, possible),
    maxConnectionsPerSource,
    allowedSources,
    acceptsPerSecond: acceptRate,
    maxConnectionAgeMs,
  };
  if (wanted <= possible) return { limits, warning: null };
  const warning = `proxy.maxConnections is ${wanted}, but the limit on open files is enough for ${possible} clients: raise it, or lower proxy.maxConnections`;
  return { limits, warning };
}
