/** Talks to the kube-vrrp that runs on this node: HTTP over its admin address or its control socket. */
import { HEALTH_CLASSES } from '../node/health-class.ts';
import { request } from 'node:http';

import * as z from 'zod';

import type { Config } from '../config/config.ts';
import type { BackendStatus, Status } from '../daemon/status.ts';
import { formatHostPort, parseIp } from '../ip/address.ts';
import { errorText } from '../log/error-text.ts';
import { errorCode } from './system-errors.ts';

export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly text: string }
  | { readonly kind: 'unix'; readonly path: string; readonly text: string };

/** The daemon did not answer, or not as kube-vrrp does. The message is one sentence for people. */
export class DaemonError extends Error {
  override readonly name = 'DaemonError';
}

type Answer = { readonly status: number; readonly body: unknown };

const ANSWER_MAX_BYTES = 4_194_304;

/** Written so that the compiler misses one that the daemon knows and this does not. */
const BACKEND_STATES = { unknown: 'unknown', up: 'up', draining: 'draining', down: 'down' } satisfies {
  [State in BackendStatus['state']]: State;
};

const statusSchema: z.ZodType<Status> = z.looseObject({
  version: z.string(),
  node: z.string(),
  pid: z.number(),
  uptimeSeconds: z.number(),
  interface: z.string().nullable(),
  waitingFor: z.string().nullable(),
  class: z.enum(HEALTH_CLASSES),
  drained: z.boolean(),
  virtualRouters: z.array(
    z.looseObject({
      vrid: z.number(),
      family: z.enum(['IPv4', 'IPv6']),
      version: z.literal([2, 3]),
      vip: z.string(),
      state: z.enum(['Initialize', 'Backup', 'Active']),
      bound: z.boolean(),
      priority: z.number(),
      sinceIso: z.string(),
      cause: z.string(),
      active: z.looseObject({ address: z.string(), priority: z.number() }).nullable(),
    }),
  ),
  backends: z.array(
    z.looseObject({
      id: z.string(),
      local: z.boolean(),
      state: z.enum(BACKEND_STATES),
      detail: z.string(),
      misconfigured: z.boolean(),
      connections: z.number(),
    }),
  ),
  clients: z.number(),
});

/** Where the admin endpoint answers; null when it is off. */
export function adminEndpoint({ listen }: Config['admin']): Endpoint | null {
  if (listen === null) return null;
  // What listens on all addresses is reached on the loopback address.
  const loopback = parseIp(listen.address.family === 'IPv4' ? '127.0.0.1' : '::1');
  const everywhere = listen.address.octets.every((octet) => octet === 0);
  const address = everywhere && loopback !== null ? loopback : listen.address;
  const text = `http://${formatHostPort(address, listen.port)}`;
  return { kind: 'tcp', host: address.text, port: listen.port, text };
}

/** The control socket; null when it is off. */
export function controlEndpoint({ socket }: Config['admin']): Endpoint | null {
  return socket === null ? null : { kind: 'unix', path: socket, text: socket };
}

function explain(endpoint: Endpoint, error: unknown): DaemonError {
  const code = errorCode(error);
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    return new DaemonError(
      `nothing answers at ${endpoint.text}: kube-vrrp does not run on this node, or with another configuration`,
    );
  }
  if (code === 'EACCES')
    return new DaemonError(`${endpoint.text} may be used by root only: run this as root`);
  return new DaemonError(`no answer from ${endpoint.text}: ${errorText(error)}`);
}

function send(endpoint: Endpoint, method: string, path: string, timeoutMs: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const where =
      endpoint.kind === 'tcp' ? { host: endpoint.host, port: endpoint.port } : { socketPath: endpoint.path };
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request({ ...where, method, path, agent: false, signal }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8');
      incoming.on('error', reject);
      incoming.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > ANSWER_MAX_BYTES) incoming.destroy(new Error('the answer is too long'));
      });
      incoming.on('end', () => resolve([String(incoming.statusCode), body]));
    });
    outgoing.on('error', (error) => {
      reject(signal.aborted ? new Error(`it took longer than ${timeoutMs} ms`) : error);
    });
    outgoing.end();
  });
}

/** One request and its JSON answer. Throws DaemonError. */
export async function ask(
  endpoint: Endpoint,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs: number,
): Promise<Answer> {
  let status = '';
  let body = '';
  try {
    [status = '', body = ''] = await send(endpoint, method, path, timeoutMs);
  } catch (error) {
    throw explain(endpoint, error);
  }
  try {
    return { status: Number(status), body: JSON.parse(body) as unknown };
  } catch {
    throw new DaemonError(`what answers at ${endpoint.text} is not kube-vrrp: its answer is not JSON`);
  }
}

/** GET /status. Throws DaemonError. */
export async function fetchStatus(endpoint: Endpoint, timeoutMs: number): Promise<Status> {
  const { body } = await ask(endpoint, 'GET', '/status', timeoutMs);
  const parsed = statusSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  const at = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new DaemonError(
    `what answers at ${endpoint.text} is not this version of kube-vrrp: its status has no good ${at === '' ? 'form' : at}`,
  );
}
