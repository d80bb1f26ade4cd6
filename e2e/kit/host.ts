/** A host of the lab: a network namespace with one interface, eth0, on the lab's bridge. */
import { execFile } from 'node:child_process';
import { request } from 'node:http';
import { promisify } from 'node:util';

import { LabProcess, type LabProcessOptions } from './lab-process.ts';

const runFile = promisify(execFile);

export const HOST_INTERFACE = 'eth0';

export type HostOptions = {
  /** `host-1`, `client-1`; also the name of the port on the bridge. */
  readonly name: string;
  readonly namespace: string;
  readonly bridgeNamespace: string;
  readonly ipv4: string;
  /** Null in a lab without IPv6. */
  readonly ipv6: string | null;
  readonly linkLocal: string | null;
  /** Unix socket that leads to the admin port of this host. */
  readonly adminSocket: string;
  /** Takes note of every process, so that the lab can end it. */
  readonly track: (process: LabProcess) => void;
};

export type Output = { readonly stdout: string; readonly stderr: string; readonly exitCode: number };

export type HttpAnswer = { readonly status: number; readonly body: string };

/** One address as `ip -j addr` prints it. */
export type KernelAddress = {
  readonly local: string;
  readonly prefixlen: number;
  readonly valid_life_time: number;
  readonly preferred_life_time: number;
};

/** Runs `ip` with commands on its standard input, one a line. Throws with what ip said when one fails. */
export async function ipBatch(namespace: string, commands: readonly string[]): Promise<void> {
  const batch = runFile('ip', ['-n', namespace, '-batch', '-']);
  batch.child.stdin?.end(`${commands.join('\n')}\n`);
  await batch;
}

export class Host {
  readonly name: string;
  readonly namespace: string;
  readonly ipv4: string;
  readonly ipv6: string | null;
  readonly linkLocal: string | null;
  readonly #options: HostOptions;
  #bridge = 'br0';

  constructor(options: HostOptions) {
    this.#options = options;
    this.name = options.name;
    this.namespace = options.namespace;
    this.ipv4 = options.ipv4;
    this.ipv6 = options.ipv6;
    this.linkLocal = options.linkLocal;
  }

  /** The host's own addresses, without link-local ones. */
  get addresses(): string[] {
    return this.ipv6 === null ? [this.ipv4] : [this.ipv4, this.ipv6];
  }

  /** Makes eth0 with the host's addresses, joined to the bridge. */
  async createInterface(): Promise<void> {
    const { name, namespace, bridgeNamespace, ipv4, ipv6, linkLocal } = this.#options;
    const device = `dev ${HOST_INTERFACE}`;
    await ipBatch(namespace, [
      'link set lo up',
      `link add ${HOST_INTERFACE} type veth peer name ${name} netns ${bridgeNamespace}`,
      // Our own link-local address, without duplicate address detection: the lab need not wait for it. Addresses
      // that the daemon adds get what the kernel gives to everyone.
      ...(ipv6 === null ? [] : [`link set ${HOST_INTERFACE} addrgenmode none`]),
      `link set ${HOST_INTERFACE} up`,
      `addr add ${ipv4}/24 ${device}`,
      ...(ipv6 === null
        ? []
        : [`addr add ${linkLocal}/64 ${device} nodad`, `addr add ${ipv6}/64 ${device} nodad`]),
    ]);
    await this.joinBridge(this.#bridge);
  }

  /** Removes eth0, and its port on the bridge with it. */
  async removeInterface(): Promise<void> {
    await ipBatch(this.namespace, [`link del ${HOST_INTERFACE}`]);
  }

  /** Moves the port to another bridge. The host keeps its carrier and notices nothing. */
  async joinBridge(bridge: string): Promise<void> {
    this.#bridge = bridge;
    await ipBatch(this.#options.bridgeNamespace, [`link set ${this.name} master ${bridge} up`]);
  }

  /** Pulls the cable: the port goes down, and eth0 loses its carrier. */
  async linkDown(): Promise<void> {
    await ipBatch(this.#options.bridgeNamespace, [`link set ${this.name} down`]);
  }

  async linkUp(): Promise<void> {
    await ipBatch(this.#options.bridgeNamespace, [`link set ${this.name} up`]);
  }

  /** Runs a command to its end in the host. Does not throw for its exit code. */
  async exec(...command: readonly string[]): Promise<Output> {
    try {
      const output = await runFile('ip', ['netns', 'exec', this.namespace, ...command]);
      return { ...output, exitCode: 0 };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: number | string; stdout?: string; stderr?: string };
      if (typeof code !== 'number') throw error;
      return { stdout: stdout ?? '', stderr: stderr ?? '', exitCode: code };
    }
  }

  /** Changes the host with `ip`, such as `host.ip('addr del 192.168.100.10/32 dev eth0')`. Throws when ip fails. */
  async ip(...commands: readonly string[]): Promise<void> {
    await ipBatch(this.namespace, commands);
  }

  /** Starts a process in the host; its pid is that of the command itself. */
  spawn(options: Omit<LabProcessOptions, 'namespace'>): LabProcess {
    const started = new LabProcess({ ...options, namespace: this.namespace });
    this.#options.track(started);
    return started;
  }

  /** What the kernel has on eth0 now, IPv4 and IPv6. */
  async kernelAddresses(): Promise<KernelAddress[]> {
    const { stdout } = await this.exec('ip', '-j', 'addr', 'show', 'dev', HOST_INTERFACE);
    const links = JSON.parse(stdout) as { addr_info?: KernelAddress[] }[];
    return links.flatMap(({ addr_info: addresses = [] }) => addresses);
  }

  /** GET from the admin endpoint on the host's loopback. */
  get(path: string): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.#options.adminSocket, path, agent: false, timeout: 3000 };
      const asked = request(options, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', reject);
      });
      asked.on('timeout', () =>
        asked.destroy(new Error(`no answer from the admin endpoint of ${this.name}`)),
      );
      asked.on('error', reject);
      asked.end();
    });
  }
}
