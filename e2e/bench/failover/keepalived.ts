/**
 * keepalived + haproxy on each host, as kubeadm's guide to highly available clusters has them ("Options for Software
 * Load Balancing"), or with the election tuned. Both programs are Debian's.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';

import { ApiServer } from '../../kit/apiserver.ts';
import { CertificateAuthority } from '../../kit/certificates.ts';
import { PROXY_PORT } from '../../kit/cluster.ts';
import { eventually } from '../../kit/eventually.ts';
import { HOST_INTERFACE, type Host } from '../../kit/host.ts';
import type { Keepalived as KeepalivedProcess } from '../../kit/keepalived.ts';
import { type GuideTuning, startGuideHaproxy, startGuideKeepalived } from '../../kit/kubeadm-guide.ts';
import type { LabProcess } from '../../kit/lab-process.ts';
import { type Lab, VIP_IPV4 } from '../../kit/lab.ts';
import type { Contender } from './contender.ts';

type Node = {
  readonly apiServer: ApiServer;
  keepalived: KeepalivedProcess | null;
  haproxy: LabProcess | null;
};

export class Keepalived implements Contender {
  readonly name: string;
  readonly lab: Lab;
  readonly port = PROXY_PORT;
  readonly caFile: string;
  readonly #folder: string;
  readonly #tuning: GuideTuning;
  readonly #nodes = new Map<Host, Node>();

  private constructor(name: string, lab: Lab, folder: string, caFile: string, tuning: GuideTuning) {
    this.name = name;
    this.lab = lab;
    this.#folder = folder;
    this.caFile = caFile;
    this.#tuning = tuning;
  }

  static async start(name: string, lab: Lab, tuning: GuideTuning): Promise<Keepalived> {
    const folder = mkdtempSync(join(lab.folder, 'k'));
    const authority = await CertificateAuthority.create(folder);
    const started = new Keepalived(name, lab, folder, authority.certFile, tuning);
    for (const host of lab.hosts) {
      const certificate = await authority.issue(host.name, [...host.addresses, VIP_IPV4, '127.0.0.1']);
      const apiServer = new ApiServer(host, certificate);
      started.#nodes.set(host, { apiServer, keepalived: null, haproxy: null });
    }
    await started.repair();
    return started;
  }

  get hosts(): readonly Host[] {
    return this.lab.hosts;
  }

  /**
   * Priorities make the VIP move back by itself, to the first host, after as long as its checks and others' silence
   * take.
   */
  async settled(): Promise<Host> {
    const [first] = this.hosts as [Host];
    let sinceMs = Number.POSITIVE_INFINITY;
    return eventually(
      () => {
        const [holder, ...others] = this.lab.holders(VIP_IPV4);
        const isHome = holder === first && others.length === 0;
        sinceMs = isHome ? Math.min(sinceMs, performance.now()) : Number.POSITIVE_INFINITY;
        return performance.now() - sinceMs > SETTLED_MS ? first : null;
      },
      { what: `the first host to hold the VIP of ${this.name}`, deadlineMs: 60_000 },
    );
  }

  apiServer(host: Host): ApiServer {
    return this.#node(host).apiServer;
  }

  signal(host: Host, signal: NodeJS.Signals): void {
    this.#node(host).keepalived?.signal(signal);
  }

  async powerOff(host: Host): Promise<void> {
    await host.linkDown();
    this.signal(host, 'SIGKILL');
    await Promise.all([this.#node(host).haproxy?.kill(), this.apiServer(host).kill()]);
  }

  async repair(): Promise<void> {
    for (const host of this.hosts) {
      const node = this.#node(host);
      await host.linkUp();
      await node.apiServer.start();
      node.apiServer.thaw();
      node.apiServer.recover();
      this.signal(host, 'SIGCONT');
      if (node.haproxy === null || node.haproxy.exit !== null)
        node.haproxy = startGuideHaproxy(host, this.#folder, this.hosts);
      if (node.keepalived === null || !node.keepalived.runs) {
        // What a killed one leaves; an operator, or a reboot, would remove it as well.
        await host.exec('ip', 'addr', 'del', VIP_IPV4, 'dev', HOST_INTERFACE);
        node.keepalived = startGuideKeepalived(host, this.#folder, this.#tuning, host === this.hosts[0]);
      }
    }
  }

  #node(host: Host): Node {
    const node = this.#nodes.get(host);
    if (node === undefined) throw new Error(`${host.name} is not in the cluster`);
    return node;
  }
}

/** No other one takes it from there any more. */
const SETTLED_MS = 2500;
