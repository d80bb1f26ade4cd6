/** Has kind make the cluster: `kubeadm init` on the first node, `kubeadm join` on the others, all through the VIP. */
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { CLUSTER, CONTAINERS, CONTROL_PLANES, ipv4Of, ipv6Of, LOAD_BALANCER, NETWORK } from './addresses.ts';
import { cgroupSettings } from './cgroup-v1.ts';
import { run } from './command.ts';
import type { Images } from './images.ts';
import { DROP_INS, kindConfig, kubeletDropIn, preloadDropIn } from './kind-config.ts';
import { stopHaproxy } from './left-over-haproxy.ts';
import { createNetwork, removeNetwork } from './network.ts';
import { Node, POD_NAME } from './node.ts';

/** The one cluster's files, among them the nodes' manifests folders, which outlive a run with --keep. */
export const FOLDER = join(tmpdir(), CLUSTER);
/**
 * For etcd, in memory: what four nodes write when they start keeps a disk busy for a while, and kubeadm gives up on
 * etcd's answer after 2 s when it adds a member. The member counts nevertheless, and until kubernetes/kubernetes pull
 * request 127491 (1.32) was never started: the quorum is lost.
 */
const ETCD_FOLDER = join('/dev/shm', CLUSTER);
const CREATE_MS = 600_000;

/** What kind is to make. */
export type Making = {
  readonly images: Images;
  readonly controlPlanes: readonly Node[];
  /** The static pod of kube-vrrp: all that is in the manifests folders before kubeadm begins. */
  readonly manifest: string;
  readonly kubeadmConfig: string;
  readonly say: (text: string) => void;
  /** Called as soon as every control plane runs, before kubeadm begins. */
  readonly onRunning: () => Promise<void>;
};

/** A node of the cluster, whether it has been made yet or not. */
export function nodeNamed(name: string): Node {
  return new Node(
    { name, network: NETWORK, ipv4: ipv4Of(name), ipv6: ipv6Of(name) },
    join(FOLDER, name),
    join(ETCD_FOLDER, name),
  );
}

/** Removes the cluster, or what an earlier run that was killed has left of one. */
export async function removeCluster(): Promise<void> {
  for (const name of CONTROL_PLANES) await stopHaproxy({ name });
  await removeNetwork();
  // An etcd that is about to end may write for a moment yet.
  for (const folder of [FOLDER, ETCD_FOLDER])
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}

/** Makes the cluster. Throws when kind or kubeadm fails, or when kubeadm began before the static pod was there. */
export async function makeCluster(making: Making): Promise<void> {
  const { images, controlPlanes, manifest, kubeadmConfig } = making;
  const preloadFolder = join(FOLDER, 'preload');
  mkdirSync(preloadFolder, { recursive: true });
  for (const node of controlPlanes) node.makeFolders();
  writeFileSync(join(preloadFolder, DROP_INS.containerd), preloadDropIn());
  writeFileSync(join(preloadFolder, DROP_INS.kubelet), kubeletDropIn());
  await run([
    ...['docker', 'save', '--output', join(preloadFolder, 'kube-vrrp.tar')],
    ...[images.product, images.productUpgrade],
  ]);
  await createNetwork();
  for (const node of controlPlanes) node.putPod(manifest);
  const configFile = join(FOLDER, 'kind.yaml');
  const config = kindConfig({
    image: images.node,
    kubeadmConfig,
    kubelet: cgroupSettings(images.kubernetesVersion),
    withoutNetwork: images.withoutNetwork,
    controlPlanes,
    preloadFolder,
  });
  writeFileSync(configFile, config);
  await runKind(making, configFile);
  await checkOrder(controlPlanes);
}

async function runKind({ images, controlPlanes, say, onRunning }: Making, configFile: string): Promise<void> {
  const addresses = CONTAINERS.map((name) => `${name} ${ipv4Of(name)} ${ipv6Of(name)}`).join('\n');
  const created = run(
    [
      ...[images.kind, 'create', 'cluster', '--config', configFile, '--retain', '--verbosity', '1'],
      ...['--kubeconfig', join(FOLDER, 'kind-kubeconfig')],
    ],
    {
      deadlineMs: CREATE_MS,
      env: {
        KIND_EXPERIMENTAL_DOCKER_NETWORK: NETWORK,
        KIND_NODE_ADDRESSES: addresses,
        PATH: `${import.meta.dirname}:${process.env['PATH'] ?? ''}`,
      },
      onLine: (line) => {
        // The lines that kind marks as steps; the rest is kubeadm's, and is shown when it fails.
        const [, step] = /^ *[✓•] +(.*?)(?: *\.\.\.)?$/u.exec(line.replaceAll(/[^\w ✓•().,:-]/gu, '')) ?? [];
        if (step !== undefined) say(`kind: ${step}`);
      },
    },
  );
  // From the first moment on, as two holders during the joins would be a fault as well.
  const watching = (async () => {
    for (;;) {
      const pids = await Promise.all(controlPlanes.map((node) => node.pid().catch(() => 0)));
      if (pids.every((pid) => pid > 0)) break;
      await delay(200);
    }
    await onRunning();
  })();
  await created;
  await watching;
  // kind insists on a load balancer. Whoever went through it would be cut off from here on.
  await run(['docker', 'stop', '--time', '0', LOAD_BALANCER]);
}

/** Throws when kubeadm has begun before the static pod was there. */
async function checkOrder(controlPlanes: readonly Node[]): Promise<void> {
  for (const node of controlPlanes) {
    const placedMs = statSync(join(node.manifestsFolder, `${POD_NAME}.yaml`)).mtimeMs;
    const seconds = await node.exec('stat', '--format', '%Y', '/etc/kubernetes/pki/ca.crt');
    if (placedMs > Number(seconds) * 1000) {
      throw new Error(`the static pod came to ${node.name} after kubeadm had begun`);
    }
  }
}
