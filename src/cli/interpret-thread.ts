/** Entry of the thread that interprets a command line; see interpret-elsewhere. */
import { parentPort, workerData } from 'node:worker_threads';
import { interpret } from './command-line.ts';

parentPort?.postMessage(await interpret(workerData as readonly string[]));
