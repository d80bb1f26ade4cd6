/**
 * Entry of the services thread: connects its work with the port to the main thread. Nothing here is on a packet's way.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { HealthChecker } from '../health/driver/checker.ts';
import { CredentialWatch } from '../health/driver/credential-watch.ts';
import { returnFreedMemory } from '../runtime/process.ts';
import { THREAD_SERVICES, beat } from '../runtime/thread-vitals.ts';
import { Takeover } from '../takeover/driver/takeover.ts';
import { Admin } from './admin.ts';
import { openLog } from './logger.ts';
import type { FromServices, ServicesWorkerData, ToServices } from './messages.ts';
import { NodeLock } from './node-lock.ts';
import { ServicesWorker } from './services-worker.ts';

/** Starting leaves some 10 MiB of freed memory, and each burst of clients or requests some more. */
const TRIM_MS = 15_000;

const main = parentPort;
if (main === null) throw new Error('the services thread was started outside the daemon');
const data = workerData as ServicesWorkerData;
const handled = new Int32Array(data.handled);
const post = (message: FromServices): void => main.postMessage(message);

const stopBeat = beat(data.vitals, THREAD_SERVICES);
const trimming = setInterval(returnFreedMemory, TRIM_MS);
const sink = openLog(data.config.log);
const worker = new ServicesWorker(
  data,
  {
    sink,
    lock: new NodeLock(data.config.vips),
    admin: (options) => new Admin(options),
    takeover: (options) => new Takeover(options),
    checker: (options) => new HealthChecker(options),
    credentialWatch: (options) => new CredentialWatch(options),
  },
  post,
);

const stop = async (): Promise<void> => {
  await worker.close();
  stopBeat();
  clearInterval(trimming);
  await sink.flush();
  post({ type: 'stopped' });
  main.close();
};

main.on('message', (message: ToServices) => {
  Atomics.add(handled, 0, 1);
  if (message.type === 'stop') void stop();
  else worker.receive(message);
});
await worker.listen();
