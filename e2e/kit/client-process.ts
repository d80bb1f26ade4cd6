/**
 * Asks for a URL at a steady rate, each time on a new TLS connection, and prints each result as a line of JSON.
 * Argument 1: a `ClientTask` as JSON.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { createSecureContext } from 'node:tls';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { ClientTask } from './client.ts';
import type { Attempt } from './outages.ts';

/** Later than that, a timer tells of a pause of this process, not of the service. */
const LATE_MS = 50;
/** Bounds what a black hole can pile up; with the lab's interval and timeout, the rate never suffers from it. */
const MAX_IN_FLIGHT = 20;

const { url, caFile, intervalMs, timeoutMs } = JSON.parse(process.argv[2] ?? '') as ClientTask;
// One for all: each holds memory outside of V8's heap, and a hundred a second keep the collector busy for tens of
// milliseconds at a time, which would count as gaps of the service.
const secureContext = createSecureContext({ ca: readFileSync(caFile) });
const options = { secureContext, agent: false, headers: { connection: 'close' } };
let inFlight = 0;

function attempt(): void {
  const startMs = monotonicMs();
  let isDone = false;
  inFlight += 1;
  const done = (ok: boolean, detail: string): void => {
    if (isDone) return;
    isDone = true;
    inFlight -= 1;
    clearTimeout(timer);
    console.log(JSON.stringify({ startMs, endMs: monotonicMs(), ok, detail } satisfies Attempt));
  };
  const asked = request(url, options, (response) => {
    response.resume();
    const node = String(response.headers['x-node'] ?? 'unknown');
    response.on('end', () => done(response.statusCode === 200, node));
    response.on('close', () => done(false, 'closed'));
  });
  const giveUp = (armedAtMs: number): void => {
    // Timers come before answers in an event loop that goes on after a pause: the answer may be here, and has its time.
    if (monotonicMs() > armedAtMs + timeoutMs + LATE_MS) {
      timer = setTimeout(giveUp, timeoutMs, monotonicMs());
      return;
    }
    done(false, 'timeout');
    asked.destroy();
  };
  let timer = setTimeout(giveUp, timeoutMs, startMs);
  asked.on('error', (error: NodeJS.ErrnoException) => done(false, error.code ?? error.message));
  asked.end();
}

setInterval(() => {
  if (inFlight < MAX_IN_FLIGHT) attempt();
}, intervalMs);
