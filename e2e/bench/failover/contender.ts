/** What the failover benchmark needs of each contender, and kube-vrrp as one of them. */
import type { ApiServer } from '../../kit/apiserver.ts';
import { Cluster, PROXY_PORT } from '../../kit/cluster.ts';
import type { Host } from '../../kit/host.ts';
import type { Lab } from '../../kit/lab.ts';

export interface Contender {
  readonly name: string;
  readonly lab: Lab;
  readonly caFile: string;
  /** Of the service at the VIP. */
  readonly port: number;
  readonly hosts: readonly Host[];
  /** Everything runs and is well, and exactly one host has the VIP: this one. */
  settled(): Promise<Host>;
  apiServer(host: Host): ApiServer;
  /** To whatever elects the holder on a host: all of its processes. */
  signal(host: Host, signal: NodeJS.Signals): void;
  /** Kills all that runs on a host and pulls its cable. */
  powerOff(host: Host): Promise<void>;
  /** Puts back whatever a scenario has broken. */
  repair(): Promise<void>;
}

export class KubeVrrp implements Contender {
  readonly name: string;
  readonly port = PROXY_PORT;
  readonly #cluster: Cluster;

  private constructor(name: string, cluster: Cluster) {
    this.name = name;
    this.#cluster = cluster;
  }

  static async start(name: string, lab: Lab, advertisementInterval: string): Promise<KubeVrrp> {
    return new KubeVrrp(name, await Cluster.start(lab, { config: { vrrp: { advertisementInterval } } }));
  }

  get lab(): Lab {
    return this.#cluster.lab;
  }

  get caFile(): string {
    return this.#cluster.caFile;
  }

  get hosts(): readonly Host[] {
    return this.#cluster.hosts;
  }

  async settled(): Promise<Host> {
    const holder = await this.#cluster.settled();
    await this.#cluster.stopClients(); // the benchmark brings its own
    return holder;
  }

  apiServer(host: Host): ApiServer {
    return this.#cluster.apiServer(host);
  }

  signal(host: Host, signal: NodeJS.Signals): void {
    this.#cluster.daemon(host).signal(signal);
  }

  async powerOff(host: Host): Promise<void> {
    await host.linkDown();
    await Promise.all([this.#cluster.daemon(host).kill(), this.#cluster.apiServer(host).kill()]);
  }

  async repair(): Promise<void> {
    await this.#cluster.repair();
  }
}
