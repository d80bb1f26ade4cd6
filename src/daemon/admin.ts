/** The admin endpoint: probes, status and metrics over TCP for anybody; drain over a unix socket for root only. */
import { chmodSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { formatHostPort } from '../ip/address.ts';
import type { Config } from '../config/config.ts';
import { errorText } from '../log/error-text.ts';
import { LogLimit } from '../log/log-limit.ts';
import type { Log } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import type { ConnectionDetail } from '../proxy/connections.ts';
import { makeRoomForSocket } from './control-socket.ts';
import { keepRoom } from './connection-room.ts';
import { Metrics } from './metrics.ts';
import { Obstacle } from './obstacle.ts';
import { type Observation, buildStatus, livenessProblems, readinessProblems } from './status.ts';

export type AdminOptions = {
  readonly listen: Config['admin']['listen'];
  readonly socket: Config['admin']['socket'];
  readonly observe: () => Observation;
  /** Null: the drain has begun; else why it is refused. */
  readonly drain: (force: boolean) => string | null;
  readonly undrain: () => void;
  /** Who is connected to what now. */
  readonly connections: () => Promise<readonly ConnectionDetail[]>;
  readonly log: Log;
};

type Reply = {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** The header of this name. */
  readonly allow?: string;
};
type Route = (request: { readonly force: boolean }) => Reply | Promise<Reply>;
type Method = 'GET' | 'POST';
type Methods = { readonly [Name in Method]?: Route };
type Routes = Readonly<Record<string, Methods>>;

/** A request that has not come in time is answered with 408, and its connection ends. */
const REQUEST_TIMEOUT_MS = 5000;
/** How often Node looks for such requests: every 30 s unless told. */
const LOOK_MS = 500;
const TIMEOUTS = {
  headersTimeout: REQUEST_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  connectionsCheckingInterval: LOOK_MS,
};
/** A client that takes nothing of its answer for this long loses its connection. */
const SILENCE_MS = 10_000;
const LOG_PERIOD_MS = 60_000;
const ADDRESS_REMEDY = 'set admin.address to a free one, or to "" to turn it off';
const SOCKET_REMEDY = 'set admin.socket to a path that can be written, or to "" to turn it off';

const json = (status: number, value: unknown): Reply => ({
  status,
  contentType: 'application/json',
  body: `${JSON.stringify(value)}\n`,
});

const verdict = (problems: readonly string[]): Reply => ({
  status: problems.length === 0 ? 200 : 503,
  contentType: 'text/plain',
  body: problems.length === 0 ? 'ok\n' : `${problems.join('\n')}\n`,
});

/** Serves until `close`. */
export class Admin {
  readonly #options: AdminOptions;
  readonly #metrics = new Metrics();
  readonly #servers: Server[] = [];
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, 2);

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /**
   * Opens the endpoint for all. Rejects with one sentence when that cannot be; with an Obstacle while another program
   * has the address, or no interface has it yet, and may then be called again.
   */
  async listen(): Promise<void> {
    const { listen } = this.#options;
    if (listen === null) return;
    const name = formatHostPort(listen.address, listen.port);
    const where = { host: listen.address.text, port: listen.port };
    await this.#open(this.#readRoutes(), where, name, (error) => {
      const what = `cannot listen on ${name} (${error.code ?? error.message})`;
      if (error.code === 'EADDRINUSE')
        return new Obstacle(`${what}: end the kube-vrrp or the program that has it, or ${ADDRESS_REMEDY}`);
      if (error.code === 'EADDRNOTAVAIL')
        return new Obstacle(`${what}: no interface has ${listen.address.text}: add it, or ${ADDRESS_REMEDY}`);
      return new Error(`the admin endpoint ${what}: ${ADDRESS_REMEDY}`);
    });
  }

  /** The same for the control socket; nothing but the socket of an earlier run is removed from its path. */
  async listenForControl(): Promise<void> {
    const { socket } = this.#options;
    if (socket === null) return;
    const fail = (error: NodeJS.ErrnoException): Error =>
      new Error(
        `the admin endpoint cannot listen on ${socket} (${error.code ?? error.message}): ${SOCKET_REMEDY}`,
      );
    try {
      await makeRoomForSocket(socket);
    } catch (error) {
      if (error instanceof Obstacle || !(error instanceof Error)) throw error;
      throw fail(error);
    }
    await this.#open({ ...this.#readRoutes(), ...this.#controlRoutes() }, { path: socket }, socket, fail);
    chmodSync(socket, 0o600);
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        return new Promise<void>((resolve) => {
          server.close(() => resolve());
        });
      }),
    );
  }

  #readRoutes(): Routes {
    const { observe } = this.#options;
    return {
      '/livez': { GET: () => verdict(livenessProblems(observe())) },
      '/readyz': { GET: () => verdict(readinessProblems(observe())) },
      '/status': { GET: () => json(200, buildStatus(observe())) },
      '/metrics': {
        GET: async () => ({
          status: 200,
          contentType: this.#metrics.contentType,
          body: await this.#metrics.render(observe()),
        }),
      },
    };
  }

  #controlRoutes(): Routes {
    return {
      // Not for anybody, as it names every client.
      '/connections': { GET: async () => json(200, await this.#options.connections()) },
      '/drain': {
        POST: ({ force }) => {
          const refusal = this.#options.drain(force);
          return refusal === null ? json(200, { draining: true }) : json(409, { error: refusal });
        },
      },
      '/undrain': {
        POST: () => {
          this.#options.undrain();
          return json(200, { draining: false });
        },
      },
    };
  }

  async #open(
    routes: Routes,
    where: { readonly host: string; readonly port: number } | { readonly path: string },
    name: string,
    describe: (error: NodeJS.ErrnoException) => Error,
  ): Promise<void> {
    const server = createServer(TIMEOUTS, (request, response) => void answer(routes, request, response));
    server.setTimeout(SILENCE_MS);
    keepRoom(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(describe(error)));
      server.listen(where, resolve);
    });
    // Accepting fails when memory is short; without a listener that would end the daemon.
    server.on('error', (error) => this.#warn(name, error));
    this.#servers.push(server);
  }

  #warn(name: string, error: Error): void {
    const suppressed = this.#logLimit.take(name, monotonicMs());
    if (suppressed === null) return;
    const text = `the admin endpoint on ${name} cannot accept a connection (${errorText(error)}); it goes on`;
    this.#options.log('warn', text, { event: 'admin', suppressed });
  }
}

/** Never rejects: whatever is asked, or fails, costs no more than this answer. */
async function answer(routes: Routes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Node leaves the body of an answer to HEAD out.
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
  const target = request.url ?? '/';
  const reply = await replyTo(routes, method, target).catch((error: unknown) =>
    json(500, { error: `cannot answer ${method} ${target}: ${errorText(error)}` }),
  );
  response.writeHead(reply.status, {
    'content-type': reply.contentType,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    ...(reply.allow === undefined ? {} : { allow: reply.allow }),
  });
  response.end(reply.body);
}

async function replyTo(routes: Routes, method: string, target: string): Promise<Reply> {
  const url = URL.parse(target, 'http://admin');
  if (url === null)
    return json(400, { error: `${target} is no path: ask for one of these`, known: namesOf(routes) });
  const path = url.pathname.replace(/(?<=.)\/+$/u, '');
  const methods = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (methods === undefined)
    return json(404, { error: `there is no ${method} ${path}`, known: namesOf(routes) });
  const route = methods[method as Method];
  if (route === undefined) return notAllowed(path, methods);
  return route({ force: url.searchParams.get('force') === 'true' });
}

/** RFC 9110 15.5.6: the answer names the methods that the path has. */
function notAllowed(path: string, methods: Methods): Reply {
  const allow = [...Object.keys(methods), ...(methods.GET === undefined ? [] : ['HEAD'])].join(', ');
  return { ...json(405, { error: `${path} takes ${allow} only` }), allow };
}

function namesOf(routes: Routes): string[] {
  return Object.entries(routes).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
}
