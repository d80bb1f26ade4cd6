/** A real control plane where one is installed: etcd and kube-apiserver on each host, found on PATH. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { API_SERVER_PORT } from './apiserver.ts';
import type { CertificateAuthority } from './certificates.ts';
import type { StartApiServers } from './cluster.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import { VIP_IPV4, VIP_IPV6 } from './lab.ts';
import type { LabProcess } from './lab-process.ts';

const run = promisify(execFile);

/** Three etcd members and their API servers need about half of it on two cores. */
const START_MS = 120_000;

/** Each etcd serves the API server beside it, and nobody else. */
const ETCD_CLIENT_URL = 'http://127.0.0.1:2379';

type Programs = { readonly etcd: string; readonly kubeApiserver: string };

function onPath(name: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

/** A kube-apiserver that can be started again. */
export class KubeApiServer {
  readonly #launch: () => LabProcess;
  readonly #host: Host;
  readonly #caFile: string;
  #process: LabProcess;

  constructor(host: Host, caFile: string, launch: () => LabProcess) {
    this.#host = host;
    this.#caFile = caFile;
    this.#launch = launch;
    this.#process = launch();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.signal(signal);
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async restart(): Promise<void> {
    await this.kill();
    this.#process = this.#launch();
    await this.answers();
  }

  /** Resolves when /version is served to anybody, as clients of the lab ask for it. */
  answers(): Promise<void> {
    return answers(this.#host, this.#process, this.#caFile);
  }
}

/** What starts a real control plane, or null when its programs are not on PATH. `servers` is filled by host. */
export function findKubernetes(servers = new Map<Host, KubeApiServer>()): StartApiServers | null {
  const etcd = onPath('etcd');
  const kubeApiserver = onPath('kube-apiserver');
  if (etcd === null || kubeApiserver === null) return null;
  return (hosts, authority, folder) =>
    startKubernetes({ etcd, kubeApiserver }, servers, hosts, authority, folder);
}

async function startKubernetes(
  programs: Programs,
  servers: Map<Host, KubeApiServer>,
  hosts: readonly Host[],
  authority: CertificateAuthority,
  folder: string,
): Promise<void> {
  const serviceAccountKey = join(folder, 'service-account.key');
  await run('openssl', ['genrsa', '-out', serviceAccountKey, '2048']);
  for (const host of hosts) startEtcd(programs.etcd, host, hosts, folder);
  const started = hosts.map(async (host) => {
    const names = [...host.addresses, VIP_IPV4, VIP_IPV6, '127.0.0.1'];
    const { certFile, keyFile } = await authority.issue(host.name, names);
    const command = [
      programs.kubeApiserver,
      ...flags({
        'secure-port': String(API_SERVER_PORT),
        'bind-address': '::',
        'advertise-address': host.ipv4,
        'etcd-servers': ETCD_CLIENT_URL,
        'authorization-mode': 'RBAC',
        'tls-cert-file': certFile,
        'tls-private-key-file': keyFile,
        'client-ca-file': authority.certFile,
        'cert-dir': join(folder, host.name),
        'service-account-key-file': serviceAccountKey,
        'service-account-signing-key-file': serviceAccountKey,
        'service-account-issuer': 'https://kubernetes.default.svc',
        'service-cluster-ip-range': '10.96.0.0/16',
      }),
    ];
    const server = new KubeApiServer(host, authority.certFile, () => host.spawn({ command }));
    servers.set(host, server);
    await server.answers();
  });
  await Promise.all(started);
}

function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

function startEtcd(etcd: string, host: Host, hosts: readonly Host[], folder: string): void {
  const peerUrl = ({ ipv4 }: Host): string => `http://${ipv4}:2380`;
  host.spawn({
    command: [
      etcd,
      ...flags({
        name: host.name,
        'data-dir': join(folder, `${host.name}.etcd`),
        'listen-client-urls': ETCD_CLIENT_URL,
        'advertise-client-urls': ETCD_CLIENT_URL,
        'listen-peer-urls': peerUrl(host),
        'initial-advertise-peer-urls': peerUrl(host),
        'initial-cluster': hosts.map((member) => `${member.name}=${peerUrl(member)}`).join(','),
        'initial-cluster-state': 'new',
      }),
    ],
  });
}

async function answers(host: Host, server: LabProcess, caFile: string): Promise<void> {
  const script = `
    require('node:https').get({ host: '127.0.0.1', port: ${API_SERVER_PORT}, path: '/version',
      ca: require('node:fs').readFileSync(${JSON.stringify(caFile)}) },
      ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))`;
  await eventually(
    async () => server.exit !== null || (await host.exec(process.execPath, '-e', script)).exitCode === 0,
    { what: `kube-apiserver on ${host.name}`, deadlineMs: START_MS, otherwise: () => server.stderr },
  );
  if (server.exit !== null) throw new Error(`kube-apiserver on ${host.name} ended: ${server.stderr}`);
}
