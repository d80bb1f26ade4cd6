/** What kind is told: three control planes and a worker, whose endpoint is the VIP. Pure. */
import { parseAllDocuments, stringify } from 'yaml';

import { CLUSTER, PORT, VIP_IPV4 } from './addresses.ts';

export type KindConfigOptions = {
  readonly image: string;
  /** What `kube-vrrp kubeadm` printed. */
  readonly kubeadmConfig: string;
  /** Fields of a KubeletConfiguration. */
  readonly kubelet: Readonly<Record<string, boolean>>;
  /** kind's own network plug-in is not in the image. */
  readonly withoutNetwork: boolean;
  /** Folders of the host: each control plane's own, and what every node loads when it starts. */
  readonly controlPlanes: readonly ControlPlaneFolders[];
  readonly preloadFolder: string;
};

type ControlPlaneFolders = { readonly manifestsFolder: string; readonly etcdFolder: string };

type Mount = { readonly hostPath: string; readonly containerPath: string; readonly readOnly?: boolean };

const CONTAINERD_DROP_IN = '/etc/systemd/system/containerd.service.d/10-preload.conf';
const KUBELET_DROP_IN = '/etc/systemd/system/kubelet.service.d/13-preload.conf';
export const DROP_INS = { containerd: 'containerd.conf', kubelet: 'kubelet.conf' } as const;

/** A drop-in of systemd by which containerd has the images of the folder before anything else runs on the node. */
export function preloadDropIn(): string {
  const load =
    'for archive in /kind/preload/*.tar; do ctr --namespace k8s.io images import "$archive" || exit 1; done';
  return `[Service]\nExecStartPost=/bin/sh -c '${load}'\n`;
}

/**
 * A drop-in by which kubelet waits for that. Without it kubelet starts while the images are loaded, finds none, and
 * asks a registry. From 1.35 on it asks again after a restart, although the image is there by then.
 */
export function kubeletDropIn(): string {
  return '[Unit]\nAfter=containerd.service\n';
}

function preloadMounts(preloadFolder: string): Mount[] {
  return [
    { hostPath: preloadFolder, containerPath: '/kind/preload', readOnly: true },
    {
      hostPath: `${preloadFolder}/${DROP_INS.containerd}`,
      containerPath: CONTAINERD_DROP_IN,
      readOnly: true,
    },
    { hostPath: `${preloadFolder}/${DROP_INS.kubelet}`, containerPath: KUBELET_DROP_IN, readOnly: true },
  ];
}

function controlPlaneMounts({ manifestsFolder, etcdFolder }: ControlPlaneFolders): Mount[] {
  return [
    { hostPath: manifestsFolder, containerPath: '/etc/kubernetes/manifests' },
    { hostPath: etcdFolder, containerPath: '/var/lib/etcd' },
  ];
}

/**
 * The documents of a kubeadm configuration as patches for kind's own. Without their version: kind skips a patch of
 * another version than it writes, and which one that is depends on kind as well (0.27 has no v1beta4).
 */
function kubeadmPatches(kubeadmConfig: string): string[] {
  return parseAllDocuments(kubeadmConfig).map((document) => {
    document.delete('apiVersion');
    return String(document);
  });
}

export function kindConfig(options: KindConfigOptions): string {
  const { image, kubeadmConfig, kubelet, withoutNetwork, controlPlanes, preloadFolder } = options;
  const preload = preloadMounts(preloadFolder);
  return stringify({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    name: CLUSTER,
    networking: { podSubnet: '10.244.0.0/16', ...(withoutNetwork ? { disableDefaultCNI: true } : {}) },
    kubeadmConfigPatches: [
      ...kubeadmPatches(kubeadmConfig),
      stringify({ kind: 'KubeletConfiguration', ...kubelet }),
      // kind writes the address of its load balancer here.
      stringify({
        kind: 'JoinConfiguration',
        discovery: { bootstrapToken: { apiServerEndpoint: `${VIP_IPV4}:${PORT}` } },
      }),
    ],
    nodes: [
      ...controlPlanes.map((folders) => ({
        role: 'control-plane',
        image,
        extraMounts: [...preload, ...controlPlaneMounts(folders)],
      })),
      { role: 'worker', image, extraMounts: preload },
    ],
  });
}
