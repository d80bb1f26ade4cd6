/** A node of kind's cluster, with its static pods' manifests at hand. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Machine, type MachineOptions } from './machine.ts';

export const POD_NAME = 'kube-vrrp';

const MANIFEST = `${POD_NAME}.yaml`;

export class Node extends Machine {
  /** On the host; the node has it as /etc/kubernetes/manifests. */
  readonly manifestsFolder: string;
  /** On the host; the node has it as /var/lib/etcd. */
  readonly etcdFolder: string;
  readonly #asideFolder: string;

  /** Both are of the host: `folder` is for this node's files. */
  constructor(options: MachineOptions, folder: string, etcdFolder: string) {
    super(options);
    this.manifestsFolder = join(folder, 'manifests');
    this.#asideFolder = join(folder, 'aside');
    this.etcdFolder = etcdFolder;
  }

  /** Makes the folders on the host, before the node is made. */
  makeFolders(): void {
    mkdirSync(this.manifestsFolder, { recursive: true });
    mkdirSync(this.#asideFolder, { recursive: true });
    mkdirSync(this.etcdFolder, { recursive: true });
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

  /** Moves the manifest of another static pod, such as `kube-apiserver`, away. */
  moveAside(name: string): void {
    renameSync(join(this.manifestsFolder, `${name}.yaml`), join(this.#asideFolder, `${name}.yaml`));
  }

  /** Puts back what `moveAside` took, if it did. */
  putBack(name: string): void {
    const aside = join(this.#asideFolder, `${name}.yaml`);
    if (existsSync(aside)) renameSync(aside, join(this.manifestsFolder, `${name}.yaml`));
  }
}
