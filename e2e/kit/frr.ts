/**
 * Debian's frr on a host of the lab: zebra and vrrpd. Its virtual router has a macvlan of its own, with the virtual MAC
 * and the virtual addresses; a Backup turns the carrier of that off (protodown), which the lab's sampler looks at.
 */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from './eventually.ts';
import { HOST_INTERFACE, type Host } from './host.ts';
import type { LabProcess } from './lab-process.ts';
import { virtualLink } from './lab.ts';

export type FrrInstance = {
  readonly version: 2 | 3;
  readonly priority: number;
  readonly intervalMs: number;
  readonly address: string;
};

const PROGRAMS = '/usr/lib/frr';
/** Of the virtual MAC address of VRID 51. */
const VIRTUAL_LINK_LOCAL = 'fe80::200:5eff:fe00:233';

export class Frr {
  readonly host: Host;
  readonly #folder: string;
  readonly #processes: LabProcess[] = [];
  readonly #log: string[] = [];

  private constructor(host: Host, folder: string) {
    this.host = host;
    this.#folder = folder;
  }

  /** Makes the macvlan and starts zebra, then vrrpd. They leave root for the package's user, so root has to be real. */
  static async start(host: Host, labFolder: string, instance: FrrInstance): Promise<Frr> {
    const folder = join(labFolder, `${host.name}.frr`);
    makeFolderOfFrr(folder);
    const isIpv4 = !instance.address.includes(':');
    const link = virtualLink(isIpv4 ? 'IPv4' : 'IPv6');
    writeFileSync(join(folder, 'zebra.conf'), '');
    writeFileSync(join(folder, 'vrrpd.conf'), vrrpdConfig(instance));
    // Not every address of the host is answered for on every interface: frr's manual asks for it.
    await host.exec('sysctl', '-qw', 'net.ipv4.conf.all.arp_ignore=1');
    await host.ip(
      `link add ${link} link ${HOST_INTERFACE} type macvlan mode bridge`,
      `link set ${link} address 00:00:5e:00:${isIpv4 ? '01' : '02'}:33`,
      `link set ${link} protodown on`,
      `addr add ${instance.address}/${isIpv4 ? 32 : 128} dev ${link} ${isIpv4 ? '' : 'nodad'}`,
      // It sends IPv6 from here. The kernel would add one as soon as there is a carrier, and check it for a second.
      ...(isIpv4 ? [] : [`addr add ${VIRTUAL_LINK_LOCAL}/64 dev ${link} nodad`]),
      `link set ${link} up`,
    );
    const frr = new Frr(host, folder);
    // vrrpd tries a zebra that is not there yet again only after ten seconds.
    frr.#spawn('zebra');
    await frr.#until('zebra', () => existsSync(join(folder, 'zserv.api')));
    frr.#spawn('vrrpd');
    const takesPart = new RegExp(`Status \\(${isIpv4 ? 'v4' : 'v6'}\\) +(?:Backup|Master)`);
    await frr.#until('vrrpd to take part', async () => takesPart.test(await frr.#status()));
    return frr;
  }

  /** SIGTERM to vrrpd, as `systemctl stop frr` does; then the rest goes, the macvlan too. */
  async stop(): Promise<void> {
    const [zebra, vrrpd] = this.#processes;
    vrrpd?.signal('SIGTERM');
    await vrrpd?.exited;
    await zebra?.kill();
    for (const family of ['IPv4', 'IPv6'] as const)
      await this.host.exec('ip', 'link', 'del', virtualLink(family));
  }

  describe(): string {
    const errors = this.#processes.map(({ stderr }) => stderr).join('');
    return [`frr on ${this.host.name}:`, ...this.#log.slice(-20).map((line) => `  ${line}`), errors].join(
      '\n',
    );
  }

  #spawn(name: 'zebra' | 'vrrpd'): void {
    const at = (file: string): string => join(this.#folder, file);
    const files = ['-i', at(`${name}.pid`), '-f', at(`${name}.conf`), '-z', at('zserv.api')];
    const options = ['--vty_socket', this.#folder, '-P', '0', '--log', 'stdout'];
    const command = [`${PROGRAMS}/${name}`, ...files, ...options];
    this.#processes.push(this.host.spawn({ command, onLine: (line) => this.#log.push(line) }));
  }

  async #status(): Promise<string> {
    const { stdout } = await this.host.exec('vtysh', '--vty_socket', this.#folder, '-c', 'show vrrp');
    return stdout;
  }

  async #until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(look, { what: `${what} on ${this.host.name}`, otherwise: () => this.describe() });
  }
}

function makeFolderOfFrr(folder: string): void {
  const numberOf = (option: string): number =>
    Number(execFileSync('id', [option, 'frr'], { encoding: 'utf8' }).trim());
  mkdirSync(folder, { recursive: true });
  try {
    chownSync(folder, numberOf('-u'), numberOf('-g'));
  } catch (cause) {
    throw new Error(
      'frr leaves root for a user of its own, so its tests need root itself: run them as root',
      {
        cause,
      },
    );
  }
}

function vrrpdConfig({ version, priority, intervalMs, address }: FrrInstance): string {
  return [
    `interface ${HOST_INTERFACE}`,
    ` vrrp 51 version ${version}`,
    ` vrrp 51 priority ${priority}`,
    ` vrrp 51 advertisement-interval ${intervalMs}`,
    ` vrrp 51 ${address.includes(':') ? 'ipv6' : 'ip'} ${address}`,
    '',
  ].join('\n');
}
