/**
 * The files of kubeadm's guide to highly available clusters ("Options for Software Load Balancing"), with the lab's
 * addresses in them.
 */
import { API_SERVER_PORT } from './apiserver.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
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
export function guideCheckScript(proxyPort: number): string {
  const url = `https://localhost:${proxyPort}/healthz`;
  return `#!/bin/sh
errorExit() {
    echo "*** $*" 1>&2
    exit 1
}
curl -sfk --max-time 2 ${url} -o /dev/null || errorExit "Error GET ${url}"
`;
}

/** keepalived.conf; `script` is the path of check_apiserver.sh. */
export function guideKeepalivedConfig(tuning: GuideTuning, script: string, isFirst: boolean): string {
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
export function guideHaproxyConfig(hosts: readonly Host[], proxyPort: number): string {
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
    bind *:${proxyPort}
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
