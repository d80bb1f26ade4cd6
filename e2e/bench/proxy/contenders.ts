/** What is compared: proxies of one TCP port to one backend, each in a process of its own on the same cores. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { manyClients, start } from './processes.ts';

export type Contender = {
  readonly name: string;
  readonly ports: Ports;
  readonly pid: Pids;
  /** Sent before memory is looked at, so that what was freed goes back to the kernel. */
  readonly trimSignal: NodeJS.Signals | null;
  /** Another one of the same kind, for long connections alone, which has served nobody yet. */
  readonly launch: () => Promise<{ readonly pid: number; readonly port: number }>;
};

/** Where each kind of backend is reached: long connections, HTTP and HTTPS. */
export type Backend = 'stream' | 'http' | 'https';
type Ports = Readonly<Record<Backend, number>>;
type Pids = Readonly<Record<Backend, number>>;

export const BACKENDS: readonly Backend[] = ['stream', 'http', 'https'];
/** HAProxy refuses to start when this may need more files than the host allows. */
const MAX_CONNECTIONS = manyClients() + 50;
const MAX_PIPES = 32;
/** Where a fresh one listens, from the first port of its kind. */
const FRESH = 5;

async function listening(port: number): Promise<void> {
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await delay(50);
  }
}

async function startHaproxy(
  cores: readonly number[],
  folder: string,
  name: string,
  config: string,
): Promise<number> {
  const file = join(folder, `${name}.cfg`);
  await writeFile(file, config);
  return start(cores, ['haproxy', '-f', file, '-db'], false);
}

/**
 * `splice` splices both ways whatever the traffic, as `splice-auto` does not; else Debian's defaults, as kubeadm's
 * guide has them.
 */
function proxyConfig(port: number, backendPort: number, threads: number, splice: boolean): string {
  return `global
  nbthread ${threads}
  maxconn ${MAX_CONNECTIONS}
  maxpipes ${MAX_PIPES}
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
${splice ? '  option splice-request\n  option splice-response\n' : ''}listen proxy
  bind :::${port} v4v6 backlog 4096
  balance leastconn
  server backend 127.0.0.1:${backendPort}
`;
}

/** HAProxy answers as API servers would for load's sake: it is quick enough not to be what is measured. */
function httpConfig(port: number, certificate: string | null): string {
  return `global
  nbthread 1
  maxconn ${MAX_CONNECTIONS}
defaults
  mode http
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend web
  bind 127.0.0.1:${port} backlog 4096${certificate === null ? '' : ` ssl crt ${certificate} no-tls-tickets`}
  http-request return status 200 content-type text/plain string ok
`;
}

export async function startHttpBackends(
  cores: readonly number[],
  folder: string,
  ports: Ports,
  certificate: string,
): Promise<void> {
  await startHaproxy(cores, folder, 'http', httpConfig(ports.http, null));
  await startHaproxy(cores, folder, 'https', httpConfig(ports.https, certificate));
  await listening(ports.http);
  await listening(ports.https);
}

async function each(launch: (backend: Backend) => Promise<number>): Promise<Pids> {
  return { stream: await launch('stream'), http: await launch('http'), https: await launch('https') };
}

/** Each of them has as many threads as there are cores; `nodeFlags` are for ours. */
export async function startContenders(
  cores: readonly number[],
  folder: string,
  firstPort: number,
  backends: Ports,
  nodeFlags: readonly string[],
): Promise<Contender[]> {
  const portsFrom = (port: number): Ports => ({ stream: port, http: port + 1, https: port + 2 });
  const contender = async (
    name: string,
    port: number,
    trimSignal: NodeJS.Signals | null,
    serve: (port: number, backendPort: number) => Promise<number>,
  ): Promise<Contender> => {
    const ports = portsFrom(port);
    const pid = await each((backend) => serve(ports[backend], backends[backend]));
    const launch = async (): Promise<{ readonly pid: number; readonly port: number }> => {
      const fresh = { pid: await serve(port + FRESH, backends.stream), port: port + FRESH };
      await listening(fresh.port);
      return fresh;
    };
    return { name, ports, pid, trimSignal, launch };
  };
  const haproxy = (name: string, port: number, splice: boolean): Promise<Contender> =>
    contender(name, port, null, (listenPort, backendPort) =>
      startHaproxy(
        cores,
        folder,
        String(listenPort),
        proxyConfig(listenPort, backendPort, cores.length, splice),
      ),
    );
  const script = join(import.meta.dirname, 'proxy-process.ts');
  const kubeVrrp = (listenPort: number, backendPort: number): Promise<number> =>
    start(cores, [
      process.execPath,
      ...nodeFlags,
      script,
      ...[listenPort, backendPort, cores.length].map(String),
    ]);
  const contenders: Contender[] = [
    await contender('kube-vrrp', firstPort, 'SIGUSR2', kubeVrrp),
    await haproxy('haproxy', firstPort + 10, false),
    await haproxy('haproxy splice', firstPort + 20, true),
  ];
  for (const { ports } of contenders) {
    for (const backend of BACKENDS) await listening(ports[backend]);
  }
  return contenders;
}
