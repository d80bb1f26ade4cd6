/** What the proxy's limits are, by the configuration and what the process may use. Pure. */
import type { Config } from '../config/config.ts';
import type { ProxyLimits } from '../proxy/admission.ts';

/** Clients that the limit on open files, and that on the cgroup's memory, are enough for. */
export type PossibleClients = { readonly byOpenFiles: number; readonly byMemory: number };

/** `warning`: what was asked for and cannot be, or may not be. */
export function proxyLimits(
  {
    maxConnections,
    maxConnectionsPerSource,
    allowedSources,
    acceptRate,
    maxConnectionAgeMs,
  }: Config['proxy'],
  { byOpenFiles, byMemory }: PossibleClients,
): { readonly limits: ProxyLimits; readonly warning: string | null } {
  const wanted = maxConnections === 'auto' ? Math.min(byOpenFiles, byMemory) : maxConnections;
  const limits = {
    maxConnections: Math.min(wanted, byOpenFiles),
    maxConnectionsPerSource,
    allowedSources,
    acceptsPerSecond: acceptRate,
    maxConnectionAgeMs,
  };
  const asked = `proxy.maxConnections is ${wanted}, but`;
  if (wanted > byOpenFiles) {
    const warning = `${asked} the limit on open files is enough for ${byOpenFiles} clients: raise it, or lower proxy.maxConnections`;
    return { limits, warning };
  }
  if (wanted > byMemory) {
    const warning = `${asked} the memory limit of the container is enough for ${byMemory} clients: raise limits.memory, or lower proxy.maxConnections`;
    return { limits, warning };
  }
  return { limits, warning: null };
}
