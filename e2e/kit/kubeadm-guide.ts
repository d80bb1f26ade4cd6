/**
 * keepalived and haproxy by the files of kubeadm's guide to highly available clusters ("Options for Software Load
 * Balancing"), with the lab's addresses in them. Both programs are Debian's.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { API_SERVER_PORT } from './apiserver.ts';
import { PROXY_PORT } from './cluster.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import { Keepalived } from './keepalived.ts';
import type { LabProcess } from './lab-process.ts';
import { VIP_IPV4 } from './lab.ts';

/** What the guide leaves to taste, or what a careful operator would change. */
export type GuideTuning = {
  /** Null: as in the guide, version 2 and one second. */
  readonly advertisementSeconds: number | null;
  readonly checkIntervalSeconds: number;
  readonly checkFall: number;
};

export const GUIDE: GuideTuning = { advertisementSeconds: null, checkIntervalSeconds: 3, checkFall: 10 };

/** check_apiserver.sh. */
function checkScript(): string {
  const url = `https://localhost:${PROXY_PORT}/healthz`;
  return `#!/bin/sh
errorExit() {
    echo "*** $*" 1>&2
    exit 1
}
curl -sfk --max-time 2 ${url} -o /dev/null || errorExit "Error GET ${url}"
`;
}

/** keepalived.conf; `script` is the path of check_apiserver.sh. */
function keepalivedConfig(tuning: GuideTuning, script: string, isFirst: boolean): string {
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

/** haproxy.cfg. */
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

/** Where `startGuideHaproxy` writes haproxy.cfg. */
export function haproxyFile(host: Host, folder: string): string {
  return join(folder, `${host.name}.haproxy.cfg`);
}

/** haproxy on one host, in front of the API servers of all. */
export function startGuideHaproxy(host: Host, folder: string, hosts: readonly Host[]): LabProcess {
  const file = haproxyFile(host, folder);
  writeFileSync(file, haproxyConfig(hosts));
  return host.spawn({ command: ['haproxy', '-db', '-f', file] });
}

/** keepalived on one host; the first one has the highest priority. */
export function startGuideKeepalived(
  host: Host,
  folder: string,
  tuning: GuideTuning,
  isFirst: boolean,
): Keepalived {
  // One for each host: a text that is being written cannot be run.
  const script = join(folder, `${host.name}.check_apiserver.sh`);
  writeFileSync(script, checkScript());
  chmodSync(script, 0o755);
  return new Keepalived(host, folder, keepalivedConfig(tuning, script, isFirst));
}
