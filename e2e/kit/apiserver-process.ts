/**
 * A stand-in for kube-apiserver: TLS, /healthz /readyz /livez, /version, an endless watch at /watch, endless
 * data at /bulk, and at /slow an answer that takes half a second. Each answer names the node. Argument 1: an
 * `ApiServerTask` as JSON. A message over IPC sets the health.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { networkInterfaces } from 'node:os';

import type { ApiServerTask, HealthOrder } from './apiserver.ts';

/** Often enough that a test sees at once when a watch stands still. */
const WATCH_EVENT_MS = 100;
/** As an admission webhook may take. */
const SLOW_ANSWER_MS = 500;
const CHUNK = Buffer.alloc(64 << 10);

const { node, port, certFile, keyFile } = JSON.parse(process.argv[2] ?? '') as ApiServerTask;
let isHealthy = true;
let isReady = true;

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-node': node });
  response.end(`${JSON.stringify({ node, ...body })}\n`);
}

function watch(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'x-node': node });
  let sequence = 0;
  const emit = (): void => {
    response.write(`${JSON.stringify({ type: 'BOOKMARK', node, sequence })}\n`);
    sequence += 1;
  };
  emit();
  const timer = setInterval(emit, WATCH_EVENT_MS);
  response.on('close', () => clearInterval(timer));
}

/** As much as the connection takes, without end. */
function bulk(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'x-node': node });
  const fill = (): void => {
    while (response.write(CHUNK)) {
      // Until the connection is full.
    }
  };
  response.on('drain', fill);
  response.on('close', () => response.off('drain', fill));
  fill();
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  switch (request.url) {
    case '/readyz':
      answer(response, isReady ? 200 : 500, { status: isReady ? 'ok' : 'shutdown failed' });
      return;
    case '/healthz':
    case '/livez':
      answer(response, isHealthy ? 200 : 500, { status: isHealthy ? 'ok' : 'etcd failed' });
      return;
    case '/version':
      answer(response, 200, { major: '1', minor: '34', gitVersion: 'v1.34.0-lab' });
      return;
    case '/watch':
      watch(response);
      return;
    case '/bulk':
      bulk(response);
      return;
    case '/slow':
      setTimeout(() => answer(response, 200, { status: 'Success' }), SLOW_ANSWER_MS);
      return;
    default:
      answer(response, 404, { status: 'NotFound' });
  }
}

process.on('message', (order: HealthOrder) => {
  ({ isHealthy, isReady } = order);
});

const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ family }) => family === 'IPv6'),
);
createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, handle).listen(
  { port, host: hasIpv6 ? '::' : '0.0.0.0' },
  () => console.log('ready'),
);
