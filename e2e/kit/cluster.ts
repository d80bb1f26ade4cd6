/** A whole cluster in a lab: on each host an API server and a kube-vrrp, on the client a poller. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { ApiServer } from './apiserver.ts';
import { CertificateAuthority } from './certificates.ts';
import { PollingClient, type Disruption } from './client.ts';
import { Daemon, runCommand, writeConfig, type ConfigDocument, type LogEntry } from './daemon.ts';
import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host, type Output } from './host.ts';
import { VIP_IPV4, type Lab } from './lab.ts';
import { Watcher } from './watcher.ts';

export const PROXY_PORT = 36_443;

/** What differs from the lab's configuration file; a group given here replaces only the keys it has. */
export type ConfigChanges = {
  readonly [key: string]: unknown;
};

export type ClusterOptions = {
  /** Control-plane hosts; default: all hosts of the lab. */
  readonly hosts?: readonly Host[];
  /** Default: the IPv4 VIP alone. */
  readonly vips?: readonly string[];
  /** Which addresses of a host are in `peers`; default: those of the VIPs' families. */
  readonly peersOf?: (host: Host) => readonly string[];
  /** The same on all hosts. */
  readonly config?: ConfigChanges;
  /** On top, for one host. */
  readonly configOf?: (host: Host) => ConfigChanges;
  readonly onEntry?: (host: Host, entry: LogEntry) => void;
  /** Starts other API servers than the stand-ins, which `apiServer` then does not know. */
  readonly startApiServers?: StartApiServers;
};

/** Starts an API server on each host, with a serving certificate from this authority, and files in this folder. */
export type StartApiServers = (
  hosts: readonly Host[],
  authority: CertificateAuthority,
  folder: string,
) => Promise<void>;

export class Cluster {
  readonly lab: Lab;
  readonly hosts: readonly Host[];
  readonly vips: readonly string[];
  readonly caFile: string;
  readonly #folder: string;
  readonly #options: ClusterOptions;
  readonly #apiServers = new Map<Host, ApiServer>();
  readonly #daemons = new Map<Host, Daemon>();
  readonly #clients = new Map<string, PollingClient>();
  #watchers: Watcher[] = [];

  private constructor(lab: Lab, folder: string, caFile: string, options: ClusterOptions) {
    this.lab = lab;
    this.hosts = options.hosts ?? lab.hosts;
    this.vips = options.vips ?? [VIP_IPV4];
    this.caFile = caFile;
    this.#folder = folder;
    this.#options = options;
  }

  /** Makes certificates and starts the API servers; no kube-vrrp yet. */
  static async prepare(lab: Lab, options: ClusterOptions = {}): Promise<Cluster> {
    const folder = mkdtempSync(join(lab.folder, 'c'));
    const authority = await CertificateAuthority.create(folder);
    const cluster = new Cluster(lab, folder, authority.certFile, options);
    const startApiServers = options.startApiServers ?? cluster.#startStandIns;
    await startApiServers(cluster.hosts, authority, folder);
    return cluster;
  }

  /** Prepares, starts kube-vrrp on every host at once, and waits until all is steady. */
  static async start(lab: Lab, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.prepare(lab, options);
    for (const host of cluster.hosts) cluster.startDaemon(host);
    await cluster.settled();
    return cluster;
  }

  /** The configuration of one host, as its file has it. */
  configOf(host: Host): ConfigDocument {
    const families = new Set(this.vips.map((vip) => vip.includes(':')));
    const peersOf =
      this.#options.peersOf ??
      ((peer) => peer.addresses.filter((address) => families.has(address.includes(':'))));
    const base = {
      vip: this.vips.length === 1 ? this.vips[0] : this.vips,
      peers: this.hosts.flatMap(peersOf),
      health: { caFile: this.caFile },
      admin: { socket: join(this.#folder, `${host.name}.sock`) },
    };
    return merge(merge(base, this.#options.config ?? {}), this.#options.configOf?.(host) ?? {});
  }

  /** The same with further changes. */
  changedConfigOf(host: Host, changes: ConfigChanges): ConfigDocument {
    return merge(this.configOf(host), changes);
  }

  /** Runs a command such as `check` on a host that may have no kube-vrrp; `file` in place of its configuration. */
  runCommand(host: Host, words: string, file?: string): Promise<Output> {
    const configFile = file ?? writeConfig(host, this.#folder, this.configOf(host));
    return runCommand(host, configFile, ...words.split(' '));
  }

  /** Starts kube-vrrp on a host, in place of the one that ran there before. */
  startDaemon(host: Host): Daemon {
    const daemon = new Daemon(host, this.#folder, this.configOf(host), {
      onEntry: (entry) => this.#options.onEntry?.(host, entry),
    });
    this.#daemons.set(host, daemon);
    return daemon;
  }

  /** The latest kube-vrrp of a host. */
  daemon(host: Host): Daemon {
    const daemon = this.#daemons.get(host);
    if (daemon === undefined) throw new Error(`no kube-vrrp was started on ${host.name}`);
    return daemon;
  }

  apiServer(host: Host): ApiServer {
    const server = this.#apiServers.get(host);
    if (server === undefined) throw new Error(`${host.name} has no API server`);
    return server;
  }

  /** The client that polls a VIP's /version from now on. */
  client(vip = this.vips[0] ?? VIP_IPV4): PollingClient {
    const known = this.#clients.get(vip);
    if (known !== undefined) return known;
    const started = new PollingClient(this.lab.client, this.url(vip, '/version'), this.caFile);
    this.#clients.set(vip, started);
    return started;
  }

  /** A new client that keeps one watch open through the VIP. */
  watch(vip = this.vips[0] ?? VIP_IPV4): Watcher {
    const watcher = new Watcher(this.lab.client, this.url(vip, '/watch'), this.caFile);
    this.#watchers.push(watcher);
    return watcher;
  }

  /** The one host that has the VIP. Throws when there is none, or another. */
  holder(vip = this.vips[0] ?? VIP_IPV4): Host {
    const [holder, ...others] = this.lab.holders(vip);
    if (holder !== undefined && others.length === 0) return holder;
    throw new Error(`not exactly one holder\n${this.describe()}`);
  }

  /** All hosts but this one. */
  others(one: Host): Host[] {
    return this.hosts.filter((host) => host !== one);
  }

  /** Of a path of the API servers, through the VIP. */
  url(vip: string, path: string): string {
    return `https://${vip.includes(':') ? `[${vip}]` : vip}:${PROXY_PORT}${path}`;
  }

  /** Waits until exactly one host has the VIP, and it is one that `accepts` likes. */
  async oneHolder(
    accepts: (host: Host) => boolean = () => true,
    { vip = this.vips[0] ?? VIP_IPV4, deadlineMs = 15_000 } = {},
  ): Promise<Host> {
    await this.lab.lookAgain();
    return eventually(
      () => {
        const [holder, ...others] = this.lab.holders(vip);
        return holder !== undefined && others.length === 0 && accepts(holder) ? holder : null;
      },
      { what: `exactly one holder of ${vip}`, deadlineMs, otherwise: () => this.describe() },
    );
  }

  /**
   * Waits for the quiet state that scenarios begin in: every kube-vrrp runs, each VIP has one holder, all
   * others are Backups, every node sees every API server up, and clients are served. Resolves with the holder of the
   * first VIP.
   */
  async settled(): Promise<Host> {
    for (const host of this.hosts) await this.daemon(host).ready();
    const holder = await eventually(() => this.#agreedHolder(), {
      what: 'the cluster to settle',
      deadlineMs: 40_000,
      otherwise: () => this.describe(),
    });
    for (const vip of this.vips) await this.client(vip).steady();
    return holder;
  }

  /** Puts back what a failed scenario may have left broken, so that it does not fail the next ones, too. */
  async repair(): Promise<void> {
    await this.lab.heal();
    for (const host of this.hosts) {
      const daemon = this.daemon(host);
      daemon.signal('SIGCONT');
      await host.linkUp();
      if (daemon.exit !== null) this.startDaemon(host);
      const apiServer = this.#apiServers.get(host);
      apiServer?.thaw();
      apiServer?.recover();
      await apiServer?.start();
    }
  }

  /** Makes this host the holder, by cutting the others off for a moment, and waits until all is settled again. */
  async giveTo(host: Host): Promise<void> {
    const others = this.others(host);
    await Promise.all(others.map((other) => other.linkDown()));
    await this.oneHolder((holder) => holder === host);
    await Promise.all(others.map((other) => other.linkUp()));
    await this.settled();
  }

  /**
   * Does something to the cluster and waits until the client is served steadily again. `until` runs before that wait,
   * for what must come first, such as a new holder.
   */
  async disrupt(
    action: () => void | Promise<unknown>,
    until: (fromMs: number) => Promise<unknown> = async () => {},
    vip = this.vips[0] ?? VIP_IPV4,
  ): Promise<Disruption> {
    const client = this.client(vip);
    await client.steady();
    const fromMs = monotonicMs();
    await action();
    await until(fromMs);
    await client.steady();
    return client.disruption(fromMs);
  }

  /** Stops all clients; the next ones are new. */
  async stopClients(): Promise<void> {
    await Promise.all([...this.#clients.values(), ...this.#watchers].map((client) => client.stop()));
    this.#clients.clear();
    this.#watchers = [];
  }

  /** Stops everything of this cluster. The lab is free for another one. */
  async stop(): Promise<void> {
    await this.stopClients();
    for (const daemon of this.#daemons.values()) daemon.signal('SIGCONT');
    await Promise.all([...this.#daemons.values()].map((daemon) => daemon.kill()));
    await Promise.all([...this.#apiServers.values()].map((server) => server.kill()));
    // The dead left their VIPs; the kernel would take them away, but the next cluster need not wait for it.
    for (const vip of this.vips) {
      await eventually(
        async () => {
          const holders = this.lab.holders(vip);
          await Promise.all(
            holders.map((host) => host.exec('ip', 'addr', 'del', vip, 'dev', HOST_INTERFACE)),
          );
          return holders.length === 0;
        },
        { what: `${vip} to leave all kernels`, otherwise: () => this.describe() },
      );
    }
  }

  /** All that helps to understand a failure. */
  describe(fromMs = monotonicMs() - 20_000): string {
    return [
      ...this.vips.map((vip) => this.lab.timeline.describe(vip, fromMs)),
      ...[...this.#clients.values()].map((client) => client.describe(fromMs)),
      ...[...this.#daemons.values()].map((daemon) => daemon.describe()),
    ].join('\n');
  }

  readonly #startStandIns: StartApiServers = async (hosts, authority) => {
    await Promise.all(
      hosts.map(async (host) => {
        const certificate = await authority.issue(host.name, servingAddresses(host, this.vips));
        const server = new ApiServer(host, certificate);
        this.#apiServers.set(host, server);
        await server.start();
      }),
    );
  };

  /** The holder, when all nodes agree on it and see all API servers up; else null. */
  async #agreedHolder(): Promise<Host | null> {
    const holders = this.vips.map((vip) => this.lab.holders(vip));
    const [holder] = holders[0] ?? [];
    if (holder === undefined || holders.some((own) => own.length !== 1)) return null;
    const statuses = await Promise.all(this.hosts.map((host) => this.daemon(host).status()));
    const allUp = statuses.every(({ backends }) => backends.every(({ state }) => state === 'up'));
    const states = statuses.flatMap(({ virtualRouters }) => virtualRouters.map(({ state }) => state));
    const actives = states.filter((state) => state === 'Active').length;
    const backups = states.filter((state) => state === 'Backup').length;
    const isAgreed =
      actives === this.vips.length && actives + backups === this.vips.length * this.hosts.length;
    return allUp && isAgreed ? holder : null;
  }
}

/** What a serving certificate must name: the VIPs, too, since clients come through the proxy. */
function servingAddresses(host: Host, vips: readonly string[]): string[] {
  return [...host.addresses, ...vips, '127.0.0.1'];
}

/** Groups (`vrrp`, `health` ...) are joined key by key; anything else replaces. */
function merge(base: ConfigDocument, changes: ConfigChanges): ConfigDocument {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(changes)) {
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value);
    merged[key] = isGroup ? { ...(base[key] as object | undefined), ...value } : value;
  }
  return merged;
}
