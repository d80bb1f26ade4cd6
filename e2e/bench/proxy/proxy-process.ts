/**
 * Proxy threads of kube-vrrp as the daemon starts them, in a process of their own. Arguments: the port to listen on,
 * the port of the backend on 127.0.0.1, the number of threads. Prints a line when all of them listen.
 */
import { startThread } from '../../../src/daemon/threads.ts';
import { returnFreedMemory } from '../../../src/runtime/process.ts';
import { createAdmissionMemory } from '../../../src/proxy/admission.ts';
import { createProxyCounters } from '../../../src/proxy/counters.ts';
import type { ProxyEvent, ProxyWorkerData } from '../../../src/proxy/driver/messages.ts';

const [port = 0, backendPort = 0, threads = 1] = process.argv.slice(2).map(Number);
const backends = [{ id: 'backend', host: '127.0.0.1', port: backendPort, local: true, state: 'up' as const }];
const limits = {
  maxConnections: 65_536,
  maxConnectionsPerSource: 0,
  allowedSources: [],
  acceptsPerSecond: 0,
  maxConnectionAgeMs: 0,
};
const data: ProxyWorkerData = {
  port,
  connectTimeoutMs: 2000,
  backends,
  reusePort: threads > 1,
  limits,
  admission: createAdmissionMemory(limits, 1),
  counters: createProxyCounters(),
};

async function startProxy(name: string): Promise<void> {
  const worker = startThread('../proxy/driver/worker', name, data);
  await new Promise<void>((resolve) => {
    worker.on('message', (event: ProxyEvent) => {
      if (event.type === 'listening') resolve();
      else if (event.type === 'listenFailed' || event.type === 'log') console.error(event.message);
    });
  });
}

/** The daemon's services thread does it each 15 s; here it is done when memory is looked at. */
process.on('SIGUSR2', returnFreedMemory);

for (let index = 0; index < threads; index += 1) await startProxy(`proxy${index}`);
console.log('listening');
