/** The admin endpoint: probes, status and metrics over TCP for anybody; drain over a unix socket for root only. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { dirname } from 'node:path';
import { formatHostPort } from '../ip/address.ts';
import type { Config } from '../config/config.ts';
import { errorText } from '../log/error-text.ts';
import { LogLimit } from '../log/log-limit.ts';
import type { Log } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import type { ConnectionDetail } from '../proxy/connections.ts';
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

type Reply = { readonly status: number; readonly contentType: string; readonly body: string };
type Route = (request: { readonly force: boolean }) => Reply | Promise<Reply>;

/** Clients are few (kubelet, a scraper, an operator): a bound on what strangers can hold open. */
const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 5000;
const LOG_PERIOD_MS = 60_000;

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
   * Rejects with one sentence when an endpoint cannot be opened; with an Obstacle while another program has the
   * address, and may then be called again.
   */
  async listen(): Promise<void> {
    const { listen, socket } = this.#options;
    if (listen !== null) {
      const where = formatHostPort(listen.address, listen.port);
      const remedy = 'set admin.address to a free one, or to "" to turn it off';
      await this.#open(this.#readRoutes(), { host: listen.address.text, port: listen.port }, where, remedy);
    }
    if (socket === null) return;
    const remedy = 'set admin.socket to a path that can be written, or to "" to turn it off';
    await this.#open(
      { ...this.#readRoutes(), ...this.#controlRoutes() },
      { path: prepareSocket(socket) },
      socket,
      remedy,
    );
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

  #readRoutes(): Record<string, Route> {
    const { observe } = this.#options;
    return {
      'GET /livez': () => verdict(livenessProblems(observe())),
      'GET /readyz': () => verdict(readinessProblems(observe())),
      'GET /status': () => json(200, buildStatus(observe())),
      'GET /metrics': async () => ({
        status: 200,
        contentType: this.#metrics.contentType,
        body: await this.#metrics.render(observe()),
      }),
    };
  }

  #controlRoutes(): Record<string, Route> {
    return {
      // Not for anybody, as it names every client.
      'GET /connections': async () => json(200, await this.#options.connections()),
      'POST /drain': ({ force }) => {
        const refusal = this.#options.drain(force);
        return refusal === null ? json(200, { draining: true }) : json(409, { error: refusal });
      },
      'POST /undrain': () => {
        this.#options.undrain();
        return json(200, { draining: false });
      },
    };
  }

  async #open(
    routes: Readonly<Record<string, Route>>,
    where: { readonly host: string; readonly port: number } | { readonly path: string },
    name: string,
    remedy: string,
  ): Promise<void> {
    const server = createServer((request, response) => void answer(routes, request, response));
    server.maxConnections = MAX_CONNECTIONS;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    server.headersTimeout = REQUEST_TIMEOUT_MS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const what = `cannot listen on ${name} (${error.code ?? error.message})`;
        // Of a path it says that something is there which could not be removed: waiting changes nothing.
        if (error.code === 'EADDRINUSE' && 'port' in where)
          reject(new Obstacle(`${what}: end the kube-vrrp or the program that has it, or ${remedy}`));
        else reject(new Error(`the admin endpoint ${what}: ${remedy}`));
      });
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

/** Makes room for the socket: its folder, and no leftover of an earlier run. */
function prepareSocket(path: string): string {
  try {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
  } catch {
    // The listen that follows fails for the same reason, and says so.
  }
  return path;
}

/** Never rejects: whatever is asked, or fails, costs no more than this answer. */
async function answer(
  routes: Readonly<Record<string, Route>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = await replyTo(routes, request).catch((error: unknown) =>
    json(500, { error: `cannot answer ${request.method} ${request.url}: ${errorText(error)}` }),
  );
  response.writeHead(reply.status, { 'content-type': reply.contentType, 'cache-control': 'no-store' });
  response.end(reply.body);
}

async function replyTo(routes: Readonly<Record<string, Route>>, request: IncomingMessage): Promise<Reply> {
  const url = URL.parse(request.url ?? '/', 'http://admin');
  if (url === null) {
    return json(400, {
      error: `${request.url} is no path: ask for one of these`,
      known: Object.keys(routes),
    });
  }
  const name = `${request.method} ${url.pathname}`;
  const route = routes[name];
  if (route === undefined) return json(404, { error: `there is no ${name}`, known: Object.keys(routes) });
  return route({ force: url.searchParams.get('force') === 'true' });
}
