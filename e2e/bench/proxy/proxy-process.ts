/**
 * A proxy thread of kube-vrrp as the daemon starts it, in a process of its own. Arguments: the port to listen on, then
 * the port of the backend on 127.0.0.1. Prints a line when it listens.
 */
import { startThread } from '../../../src/daemon/threads.ts';
import { returnFreedMemory } from '../../../src/net/process.ts';
import { createProxyCounters } from '../../../src/proxy/counters.ts';
import type { ProxyEvent, ProxyWorkerData } from '../../../src/proxy/driver/messages.ts';

const [port = 0, backendPort = 0] = process.argv.slice(2).map(Number);
const backends = [{ id: 'backend', host: '127.0.0.1', port: backendPort, local: true, state: 'up' as const }];
const worker = startThread('../proxy/driver/worker', 'proxy0', {
  port,
  connectTimeoutMs: 2000,
  backends,
  reusePort: false,
  limits: {
    maxConnections: 65_536,
    maxConnectionsPerSource: 0,
    allowedSources: [],
    acceptsPerSecond: 0,
    maxConnectionAgeMs: 0,
  },
  counters: createProxyCounters(),
} satisfies ProxyWorkerData);
worker.on('message', (event: ProxyEvent) => {
  if (event.type === 'listening') console.log('listening');
  else if (event.type === 'listenFailed' || event.type === 'log') console.error(event.message);
});
/** The daemon's services thread does it each 15 s; here it is done when memory is looked at. */
process.on('SIGUSR2', returnFreedMemory);
