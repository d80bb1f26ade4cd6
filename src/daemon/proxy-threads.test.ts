import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { THREAD_PROXY, createThreadVitals } from '../runtime/thread-vitals.ts';
import { createAdmissionMemory } from '../proxy/admission.ts';
import { createProxyCounters } from '../proxy/counters.ts';
import { LIMITS, freePort } from '../testing/proxy.ts';
import { shutListener } from '../testing/sockets.ts';
import { until } from '../testing/until.ts';
import { ProxyThreads } from './proxy-threads.ts';

function startThreads(port: number, count: number, onExit: (reason: string) => void): Promise<ProxyThreads> {
  return ProxyThreads.start({
    count,
    data: {
      port,
      connectTimeoutMs: 500,
      backends: [],
      reusePort: count > 1,
      limits: LIMITS,
      admission: createAdmissionMemory(LIMITS, 1),
      counters: createProxyCounters(),
    },
    vitals: createThreadVitals(THREAD_PROXY + count),
    log: () => undefined,
    onExit,
  });
}

async function occupy(context: TestContext, port: number): Promise<void> {
  const server = createServer().listen(port);
  await once(server, 'listening');
  context.after(() => server.close());
}

test('after the death of one thread all are stopped, and the stop ends', { timeout: 30_000 }, async () => {
  const deaths: string[] = [];
  const threads = await startThreads(await freePort(), 2, (reason) => deaths.push(reason));
  // No command has this form: the thread fails over it.
  threads.servicesPorts[0]?.postMessage(null);
  await until(() => deaths.length > 0, 'the death to be told');
  await threads.stop(0);
  await threads.stop(0);
  for (const port of threads.servicesPorts) port.close();
  assert.equal(deaths.length, 1);
  assert.match(deaths[0] ?? '', /^proxy thread 0 (failed|ended)/);
});

test(
  'a listener that is closed from outside ends the proxy with its reason',
  { timeout: 30_000 },
  async (context) => {
    const deaths: string[] = [];
    const port = await freePort();
    const threads = await startThreads(port, 1, (reason) => deaths.push(reason));
    context.after(async () => {
      await threads.stop(0);
      for (const servicesPort of threads.servicesPorts) servicesPort.close();
    });
    shutListener(port);
    await until(() => deaths.length > 0, 'the loss to be told');
    assert.match(deaths[0] ?? '', new RegExp(`^proxy thread 0: port ${port} has been closed from outside`));
  },
);

test('a start that fails leaves no thread behind', { timeout: 30_000 }, async (context) => {
  const port = await freePort();
  await occupy(context, port);
  await assert.rejects(
    startThreads(port, 2, () => undefined),
    new RegExp(String(port)),
  );
});
