/** A lab: hosts as network namespaces, on one bridge in a namespace of its own. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Family } from '../../src/ip/address.ts';
import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from './eventually.ts';
import { HolderTimeline, sampledAddress, type Sample, type SamplerTask } from './holders.ts';
import { Host, ipBatch } from './host.ts';
import { LabProcess } from './lab-process.ts';
import { newLabName, removeLeftovers, killProcessesIn, removeNamespace } from './ownership.ts';

const ADMIN_PORT = 10_480;
const SAMPLE_INTERVAL_MS = 10;
/** Last octets: hosts from 1, VIP 10, clients from 101. */
const FIRST_CLIENT = 101;

export const VIP_IPV4 = '192.168.100.10';
export const VIP_IPV6 = 'fd00:100::10';

/** The link that frr's vrrpd keeps a family's virtual addresses on, in a lab with `virtualLinks`. */
export function virtualLink(family: Family): string {
  return family === 'IPv4' ? 'vrrp4-51' : 'vrrp6-51';
}

export type LabOptions = {
  readonly hosts: number;
  readonly clients: number;
  readonly ipv6: boolean;
  /** Hosts may have links of frr's kind: a virtual address there counts while the link has a carrier. */
  readonly virtualLinks?: boolean;
  /** Called when a VIP appears in a host's kernel or leaves it, with the names of the hosts that have each VIP now. */
  readonly onHolders?: (holders: Readonly<Record<string, readonly string[]>>) => void;
};

const openLabs = new Set<Lab>();
let endsWithProcess = false;

/** However this process ends, short of SIGKILL, its labs end before it. The next lab removes what SIGKILL leaves. */
function endLabsWithProcess(): void {
  if (endsWithProcess) return;
  endsWithProcess = true;
  process.on('exit', () => {
    for (const lab of openLabs) lab.removeNow();
  });
  const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, exitCode] of Object.entries(exitCodes))
    process.on(signal, () => process.exit(exitCode));
}

export class Lab {
  readonly hosts: readonly Host[];
  readonly clients: readonly Host[];
  /** For files of this lab; removed with it. Its path is short enough for unix sockets. */
  readonly folder: string;
  /** Who has had the VIPs in the kernel since the lab was made. */
  readonly timeline = new HolderTimeline();
  readonly bridgeNamespace: string;
  readonly #vips: readonly string[];
  readonly #onHolders: LabOptions['onHolders'] | null;
  readonly #virtualLinks: boolean;
  readonly #processes = new Set<LabProcess>();
  #bridges = 0;

  constructor({ hosts, clients, ipv6, virtualLinks, onHolders }: LabOptions) {
    this.#onHolders = onHolders ?? null;
    this.#virtualLinks = virtualLinks ?? false;
    const name = newLabName();
    this.folder = join(tmpdir(), `${name}-files`);
    this.bridgeNamespace = `${name}-bridge`;
    const makeHost = (kind: string, index: number, lastOctet: number): Host =>
      new Host({
        name: `${kind}-${index + 1}`,
        namespace: `${name}-${kind}-${index + 1}`,
        bridgeNamespace: this.bridgeNamespace,
        ipv4: `192.168.100.${lastOctet}`,
        ipv6: ipv6 ? `fd00:100::${lastOctet}` : null,
        linkLocal: ipv6 ? `fe80::${lastOctet}` : null,
        adminSocket: join(this.folder, `${kind}-${index + 1}.admin.sock`),
        track: (started) => this.track(started),
      });
    this.#vips = ipv6 ? [VIP_IPV4, VIP_IPV6] : [VIP_IPV4];
    this.hosts = Array.from({ length: hosts }, (_, index) => makeHost('host', index, index + 1));
    this.clients = Array.from({ length: clients }, (_, index) =>
      makeHost('client', index, FIRST_CLIENT + index),
    );
  }

  /** Every host, clients included. */
  get everyone(): readonly Host[] {
    return [...this.hosts, ...this.clients];
  }

  /** The first client. */
  get client(): Host {
    const [first] = this.clients;
    if (first === undefined) throw new Error('this lab has no client');
    return first;
  }

  /** The host of this name, such as `host-2`. */
  host(name: string): Host {
    const found = this.everyone.find((host) => host.name === name);
    if (found === undefined) throw new Error(`this lab has no ${name}`);
    return found;
  }

  /** Hosts that have the VIP in their kernel as of the latest look, a few milliseconds ago. */
  holders(vip: string): Host[] {
    return this.timeline.holders(vip).map((name) => this.host(name));
  }

  /** Waits until the sampler has looked after now: what has happened so far is then on the timeline. */
  async lookAgain(): Promise<void> {
    const nowMs = monotonicMs();
    await eventually(() => this.timeline.lastAtMs > nowMs, { what: 'the sampler to look' });
  }

  /**
   * Cuts the segment into groups that do not hear each other; who is in no group stays with the first. Carriers stay.
   */
  async partition(...groups: readonly (readonly Host[])[]): Promise<void> {
    for (const [index, group] of groups.entries()) {
      if (index >= this.#bridges) await this.#createBridge();
      for (const host of group) await host.joinBridge(`br${index}`);
    }
  }

  /** Joins the segment again. */
  async heal(): Promise<void> {
    for (const host of this.everyone) await host.joinBridge('br0');
    for (; this.#bridges > 1; this.#bridges -= 1) {
      await ipBatch(this.bridgeNamespace, [`link del br${this.#bridges - 1}`]);
    }
  }

  /** Takes note of a process so that it ends with the lab. */
  track(started: LabProcess): void {
    this.#processes.add(started);
    void started.exited.then(() => this.#processes.delete(started));
  }

  /** Makes namespaces, links and the processes of the lab itself. */
  async build(): Promise<void> {
    mkdirSync(this.folder);
    for (const name of this.#namespaces) execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' });
    await this.#createBridge();
    await Promise.all(this.everyone.map((host) => host.createInterface()));
    await this.#startSampler(await Promise.all(this.hosts.map((host) => this.#startHostProcess(host))));
  }

  /** Ends everything in the lab and removes it. */
  async remove(): Promise<void> {
    const ended = [...this.#processes].map((running) => running.kill());
    // Also what these have started: a stopped child keeps their output open, and so their end would not be seen.
    for (const name of this.#namespaces) killProcessesIn(name);
    await Promise.all(ended);
    this.removeNow();
  }

  /** The same without waiting, for the end of this process. */
  removeNow(): void {
    openLabs.delete(this);
    for (const running of this.#processes) running.signal('SIGKILL');
    for (const name of this.#namespaces) removeNamespace(name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #namespaces(): string[] {
    return [this.bridgeNamespace, ...this.everyone.map(({ namespace }) => namespace)];
  }

  async #createBridge(): Promise<void> {
    const name = `br${this.#bridges}`;
    this.#bridges += 1;
    await ipBatch(this.bridgeNamespace, [
      `link add ${name} type bridge stp_state 0 mcast_snooping 0`,
      `link set ${name} up`,
    ]);
  }

  async #startHostProcess(host: Host): Promise<{ name: string; pid: number }> {
    let isReady = false;
    const script = join(import.meta.dirname, 'host-process.ts');
    const running = host.spawn({
      command: [process.execPath, script, join(this.folder, `${host.name}.admin.sock`), String(ADMIN_PORT)],
      onLine: () => (isReady = true),
    });
    await eventually(() => isReady, { what: `the process of ${host.name}`, otherwise: () => running.stderr });
    return { name: host.name, pid: running.pid };
  }

  async #startSampler(hosts: SamplerTask['hosts']): Promise<void> {
    const addresses = this.#vips.map((vip) =>
      sampledAddress(vip, this.#virtualLinks ? virtualLink(vip.includes(':') ? 'IPv6' : 'IPv4') : null),
    );
    const task: SamplerTask = { intervalMs: SAMPLE_INTERVAL_MS, hosts, addresses };
    const sampler = new LabProcess({
      namespace: null,
      command: [process.execPath, join(import.meta.dirname, 'sampler-process.ts'), JSON.stringify(task)],
      onLine: (line) => {
        const sample = JSON.parse(line) as Sample;
        this.timeline.record(sample);
        if (sample.holders !== undefined) this.#onHolders?.(sample.holders);
      },
    });
    this.track(sampler);
    await eventually(() => this.timeline.lastAtMs > 0, {
      what: 'the sampler',
      otherwise: () => sampler.stderr,
    });
  }
}

/** Makes a lab and removes what crashed ones left. Call `enterLab` once before, and `lab.remove()` in the end. */
export async function createLab(options: LabOptions): Promise<Lab> {
  removeLeftovers();
  endLabsWithProcess();
  const lab = new Lab(options);
  openLabs.add(lab);
  try {
    await lab.build();
  } catch (error) {
    await lab.remove();
    throw error;
  }
  return lab;
}
