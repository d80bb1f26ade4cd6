/** A node of the cluster: a container, and what can happen to it. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { attempt, run, type CommandResult } from './command.ts';

export const POD_NAME = 'kube-vrrp';

const MANIFEST = `${POD_NAME}.yaml`;

export type NodeOptions = {
  readonly name: string;
  readonly network: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Folder of the machine for this node's files. */
  readonly folder: string;
};

export class Node {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** On the machine; the node has it as /etc/kubernetes/manifests. */
  readonly manifestsFolder: string;
  readonly #network: string;
  readonly #asideFolder: string;

  constructor({ name, network, ipv4, ipv6, folder }: NodeOptions) {
    this.name = name;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    this.#network = network;
    this.manifestsFolder = join(folder, 'manifests');
    this.#asideFolder = join(folder, 'aside');
    mkdirSync(this.manifestsFolder, { recursive: true });
    mkdirSync(this.#asideFolder, { recursive: true });
  }

  /** Runs a command in the node; resolves with its standard output, rejects when it fails. */
  exec(...command: readonly string[]): Promise<string> {
    return run(['docker', 'exec', this.name, ...command]);
  }

  /** Runs a shell script in the node, with all its output in the order in which it came. */
  script(text: string, deadlineMs?: number): Promise<CommandResult> {
    return attempt(['docker', 'exec', '--interactive', this.name, 'bash', '-euo', 'pipefail', '-s'], {
      input: text,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    });
  }

  /** Of the node's first process, as the machine sees it; 0 while the node does not run. */
  async pid(): Promise<number> {
    return Number(await run(['docker', 'inspect', '--format', '{{.State.Pid}}', this.name]));
  }

  /** As when a machine loses its power. */
  kill(): Promise<string> {
    return run(['docker', 'kill', this.name]);
  }

  start(): Promise<string> {
    return run(['docker', 'start', this.name]);
  }

  /** As when a hypervisor stops a virtual machine. */
  pause(): Promise<string> {
    return run(['docker', 'pause', this.name]);
  }

  unpause(): Promise<string> {
    return run(['docker', 'unpause', this.name]);
  }

  /** Takes the node's interface away. */
  disconnect(): Promise<string> {
    return run(['docker', 'network', 'disconnect', this.#network, this.name]);
  }

  /** Gives the node an interface again, with the same addresses and another MAC address. */
  connect(): Promise<string> {
    const addresses = ['--ip', this.ipv4, '--ip6', this.ipv6];
    return run(['docker', 'network', 'connect', ...addresses, this.#network, this.name]);
  }

  /** Puts the static pod of kube-vrrp there, or another version of it in its place. */
  putPod(manifest: string): void {
    // Renamed into its place, so that kubelet never sees half of it.
    const draft = join(this.#asideFolder, 'draft');
    writeFileSync(draft, manifest);
    renameSync(draft, join(this.manifestsFolder, MANIFEST));
  }

  removePod(): void {
    rmSync(join(this.manifestsFolder, MANIFEST), { force: true });
  }

  /** Moves the manifest of another static pod, such as `etcd`, away. */
  moveAside(name: string): void {
    renameSync(join(this.manifestsFolder, `${name}.yaml`), join(this.#asideFolder, `${name}.yaml`));
  }

  /** Puts back what `moveAside` took, if it did. */
  putBack(name: string): void {
    const aside = join(this.#asideFolder, `${name}.yaml`);
    if (existsSync(aside)) renameSync(aside, join(this.manifestsFolder, `${name}.yaml`));
  }
}
