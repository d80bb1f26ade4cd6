/** Debian's keepalived on a host of the lab: a VRRP peer that is not ours. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';

/** One vrrp_instance, in keepalived.conf(5)'s terms. */
export type KeepalivedInstance = {
  readonly version: 2 | 3;
  readonly priority: number;
  readonly advertisementSeconds: number;
  readonly addresses: readonly string[];
  /** auth_type PASS, version 2 only. */
  readonly password?: string;
  /** unicast_src_ip, then the unicast_peer block; multicast without. */
  readonly unicast?: { readonly source: string; readonly peers: readonly string[]; readonly ttl?: number };
  /** Default true; false is nopreempt. */
  readonly preempts?: boolean;
};

export function keepalivedConfig(instance: KeepalivedInstance): string {
  const { password, unicast, preempts = true } = instance;
  const lines = [
    `state BACKUP`,
    `interface ${HOST_INTERFACE}`,
    `virtual_router_id 51`,
    `priority ${instance.priority}`,
    `advert_int ${instance.advertisementSeconds}`,
    ...(preempts ? [] : ['nopreempt']),
    ...(password === undefined ? [] : ['authentication {', 'auth_type PASS', `auth_pass ${password}`, '}']),
    ...(unicast === undefined
      ? []
      : [
          `unicast_src_ip ${unicast.source}`,
          // By itself it sends IPv6 with a hop limit of 64, which RFC 9568 5.1.2.3 has everybody discard.
          `unicast_ttl ${unicast.ttl ?? 255}`,
          'unicast_peer {',
          ...unicast.peers,
          '}',
        ]),
    'virtual_ipaddress {',
    ...instance.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
    '}',
  ];
  return `global_defs {\nvrrp_version ${instance.version}\n}\nvrrp_instance VI_1 {\n${lines.join('\n')}\n}\n`;
}

/** A running keepalived: the parent, and the child that does the VRRP. */
export class Keepalived {
  readonly host: Host;
  readonly configFile: string;
  readonly #process: LabProcess;

  /** Writes the configuration into `folder` and starts. */
  constructor(host: Host, folder: string, config: string) {
    const at = (suffix: string): string => join(folder, `${host.name}.keepalived.${suffix}`);
    this.host = host;
    this.configFile = at('conf');
    writeFileSync(this.configFile, config);
    const files = ['-f', this.configFile, '-p', at('pid'), '-r', at('vrrp.pid')];
    this.#process = host.spawn({
      command: ['keepalived', '--dont-fork', '--log-console', '--vrrp', ...files],
    });
  }

  /** Waits until it takes part. */
  async started(): Promise<void> {
    await eventually(() => this.#process.stderr.includes('Entering BACKUP STATE'), {
      what: `keepalived on ${this.host.name} to be a Backup`,
      otherwise: () => this.describe(),
    });
  }

  get runs(): boolean {
    return this.#process.exit === null;
  }

  /** To both processes; only SIGTERM to the parent alone, which ends its child in order. */
  signal(signal: NodeJS.Signals): void {
    if (!this.runs) return;
    const children = signal === 'SIGTERM' ? [] : childrenOf(this.#process.pid);
    this.#process.signal(signal);
    for (const child of children) process.kill(child, signal);
  }

  /** SIGTERM: an Active says priority 0 and removes its addresses. Resolves at the end of the process. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    await this.#process.exited;
  }

  /** The end of what it logged, for the message of a failed test. */
  describe(): string {
    // --log-console writes to standard error.
    const lines = this.#process.stderr.trimEnd().split('\n').slice(-20);
    return [`keepalived on ${this.host.name}:`, ...lines.map((line) => `  ${line}`)].join('\n');
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}
