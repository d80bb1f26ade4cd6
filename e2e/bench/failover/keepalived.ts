/**
 * keepalived + haproxy on each host, as kubeadm's guide to highly available clusters has them ("Options for Software
 * Load Balancing"), or with the election tuned. Both programs are Debian's.
 */
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { API_SERVER_PORT, ApiServer } from '../../lab/apiserver.ts';
import { CertificateAuthority } from '../../lab/certificates.ts';
import { PROXY_PORT } from '../../lab/cluster.ts';
import { eventually } from '../../lab/eventually.ts';
import { HOST_INTERFACE, type Host } from '../../lab/host.ts';
import { Keepalived as KeepalivedProcess } from '../../lab/keepalived.ts';
import type { LabProcess } from '../../lab/lab-process.ts';
import { type Lab, VIP_IPV4 } from '../../lab/lab.ts';
import type { Contender } from './contender.ts';

export type Tuning = {
  /** Null: as in the guide, version 2 and one second. */
  readonly advertisementSeconds: number | null;
  readonly checkIntervalSeconds: number;
  readonly checkFall: number;
};

export const GUIDE: Tuning = { advertisementSeconds: null, checkIntervalSeconds: 3, checkFall: 10 };

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
  readonly #tuning: Tuning;
  readonly #nodes = new Map<Host, Node>();

  private constructor(name: string, lab: Lab, folder: string, caFile: string, tuning: Tuning) {
    this.name = name;
    this.lab = lab;
    this.#folder = folder;
    this.caFile = caFile;
    this.#tuning = tuning;
  }

  static async start(name: string, lab: Lab, tuning: Tuning): Promise<Keepalived> {
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

  async settled(): Promise<Host> {
    let holderName = '';
    let sinceMs = 0;
    // Priorities make the VIP move back by itself: settled is what has not moved for a while.
    return eventually(
      () => {
        const [holder, ...others] = this.lab.holders(VIP_IPV4);
        const name = holder !== undefined && others.length === 0 ? holder.name : '';
        if (name !== holderName) {
          holderName = name;
          sinceMs = performance.now();
        }
        return name !== '' && performance.now() - sinceMs > SETTLED_MS ? holder : null;
      },
      { what: `one holder of ${this.name}`, deadlineMs: 60_000 },
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
      if (node.haproxy === null || node.haproxy.exit !== null) node.haproxy = this.#startHaproxy(host);
      if (node.keepalived === null || !node.keepalived.runs) {
        // What a killed one leaves; an operator, or a reboot, would remove it as well.
        await host.exec('ip', 'addr', 'del', VIP_IPV4, 'dev', HOST_INTERFACE);
        node.keepalived = this.#startKeepalived(host);
      }
    }
  }

  #node(host: Host): Node {
    const node = this.#nodes.get(host);
    if (node === undefined) throw new Error(`${host.name} is not in the cluster`);
    return node;
  }

  #startHaproxy(host: Host): LabProcess {
    const file = join(this.#folder, `${host.name}.haproxy.cfg`);
    writeFileSync(file, haproxyConfig(this.hosts));
    return host.spawn({ command: ['haproxy', '-db', '-f', file] });
  }

  #startKeepalived(host: Host): KeepalivedProcess {
    const script = join(this.#folder, `${host.name}.check.sh`);
    writeFileSync(script, CHECK_SCRIPT);
    chmodSync(script, 0o755);
    const isFirst = host === this.hosts[0];
    return new KeepalivedProcess(host, this.#folder, keepalivedConfig(this.#tuning, script, isFirst));
  }
}

/** Longer than the guide's preemption takes. */
const SETTLED_MS = 2500;

/** The guide's check_apiserver.sh. */
const CHECK_SCRIPT = `#!/bin/sh
errorExit() {
    echo "*** $*" 1>&2
    exit 1
}
curl -sfk --max-time 2 https://localhost:${PROXY_PORT}/healthz -o /dev/null || errorExit "Error GET https://localhost:${PROXY_PORT}/healthz"
`;

function keepalivedConfig(tuning: Tuning, script: string, isFirst: boolean): string {
  const version = tuning.advertisementSeconds === null ? '' : '    vrrp_version 3\n';
  const authentication =
    tuning.advertisementSeconds === null
      ? '    authentication {\n        auth_type PASS\n        auth_pass 42\n    }\n'
      : `    advert_int ${tuning.advertisementSeconds}\n`;
  return `global_defs {
    router_id LVS_DEVEL
    script_user root
${version}}
vrrp_script check_apiserver {
  script "${script}"
  interval ${tuning.checkIntervalSeconds}
  weight -2
  fall ${tuning.checkFall}
  rise 2
}
vrrp_instance VI_1 {
    state ${isFirst ? 'MASTER' : 'BACKUP'}
    interface ${HOST_INTERFACE}
    virtual_router_id 51
    priority ${isFirst ? 101 : 100}
${authentication}    virtual_ipaddress {
        ${VIP_IPV4}
    }
    track_script {
        check_apiserver
    }
}
`;
}

/** The guide's haproxy.cfg. */
function haproxyConfig(hosts: readonly Host[]): string {
  const servers = hosts.map(
    (host) => `    server ${host.name} ${host.ipv4}:${API_SERVER_PORT} check verify none`,
  );
  return `global
    log stdout format raw local0
defaults
    mode                    http
    log                     global
    option                  httplog
    option                  dontlognull
    option http-server-close
    option                  redispatch
    retries                 1
    timeout http-request    10s
    timeout queue           20s
    timeout connect         5s
    timeout client          35s
    timeout server          35s
    timeout http-keep-alive 10s
    timeout check           10s
frontend apiserver
    bind *:${PROXY_PORT}
    mode tcp
    option tcplog
    default_backend apiserverbackend
backend apiserverbackend
    option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    http-check expect status 200
    mode tcp
    balance     roundrobin
${servers.join('\n')}
`;
}
