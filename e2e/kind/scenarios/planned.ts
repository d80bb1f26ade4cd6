/** Somebody means it: the pod is stopped, replaced or upgraded by its manifest. */
import { VIP_IPV4 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import { serves } from '../readiness.ts';
import { eventually } from '../../kit/eventually.ts';
import { POD_NAME, type Node } from '../node.ts';
import { OUTAGE_LIMIT_MS, type Limits, type Scenario } from '../scenario.ts';
import { SETTLED_MS } from '../settled.ts';

const LIMITS: Limits = { outageMs: OUTAGE_LIMIT_MS, moves: 'active_resigned' };

/** Waits until kubelet runs the pod from `image` on this node. */
async function runsImage(cluster: KindCluster, node: Node, image: string): Promise<void> {
  await eventually(
    async () => {
      const pod = (await cluster.kubectl.get(
        'pod',
        '--namespace=kube-system',
        `${POD_NAME}-${node.name}`,
      )) as {
        spec: { containers: { image: string }[] };
        status: { containerStatuses?: { ready: boolean; image: string }[] };
      };
      const [container] = pod.status.containerStatuses ?? [];
      return (
        pod.spec.containers[0]?.image === image &&
        container?.ready === true &&
        container.image.endsWith(image)
      );
    },
    { what: `${image} to run on ${node.name}`, deadlineMs: SETTLED_MS },
  );
}

async function removeAndPutBack(cluster: KindCluster): Promise<string> {
  const holder = await cluster.oneHolder();
  holder.removePod();
  await cluster.oneHolder(VIP_IPV4, (node) => node !== holder);
  await serves(cluster, cluster.controlPlanes);
  await eventually(async () => (await cluster.status(holder)) === null, {
    what: `kubelet to have stopped the pod on ${holder.name}`,
    deadlineMs: SETTLED_MS,
  });
  holder.putPod(await cluster.manifest());
  return '';
}

/** One node after the other, as an administrator would, the holder too. */
async function upgrade(cluster: KindCluster, image: string): Promise<void> {
  const manifest = await cluster.manifest({ image });
  for (const node of cluster.controlPlanes) {
    node.putPod(manifest);
    await runsImage(cluster, node, image);
  }
}

export const PLANNED: readonly Scenario[] = [
  {
    name: 'manifest-removed',
    what: "the holder's static pod manifest removed, and put back: kubelet stops the pod, which hands over",
    limits: LIMITS,
    run: removeAndPutBack,
  },
  {
    name: 'upgrade',
    what: 'the image upgraded and downgraded again by editing the manifest on one node after the other',
    limits: LIMITS,
    run: async (cluster) => {
      await upgrade(cluster, cluster.images.productUpgrade);
      await upgrade(cluster, cluster.images.product);
      return '';
    },
  },
];
