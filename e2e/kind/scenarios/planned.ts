/** Somebody means it: the pod is stopped, replaced or upgraded by its manifest. */
import { VIP_IPV4 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import { eventually } from '../../lab/eventually.ts';
import { POD_NAME, type Node } from '../node.ts';
import { describeEffect, expectOutage, type Scenario } from '../scenario.ts';

/** A planned handover costs requests in flight at most; see OUTAGE_LIMIT_MS in losses.ts for why this is no figure. */
const OUTAGE_LIMIT_MS = 4000;
/** kubelet sees a changed manifest at once, stops the old pod in up to 30 s, and backs off if it was too early. */
const REPLACED_MS = 120_000;

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
    { what: `${image} to run on ${node.name}`, deadlineMs: REPLACED_MS },
  );
}

async function removeAndPutBack(cluster: KindCluster): Promise<string> {
  const holder = await cluster.oneHolder();
  const since = new Date();
  const effect = await cluster.effectOf(
    () => holder.removePod(),
    () => cluster.oneHolder(VIP_IPV4, (node) => node !== holder),
  );
  await eventually(async () => (await cluster.status(holder)) === null, {
    what: `kubelet to have stopped the pod on ${holder.name}`,
    deadlineMs: REPLACED_MS,
  });
  holder.putPod(await cluster.manifest());
  expectOutage(effect, OUTAGE_LIMIT_MS);
  await cluster.settled();
  await cluster.expectMoves(since, 'active_resigned');
  return describeEffect(effect);
}

/** One node after the other, as an administrator would, the holder too. */
async function upgrade(cluster: KindCluster, image: string): Promise<string> {
  const manifest = await cluster.manifest({ image });
  const effect = await cluster.effectOf(
    async () => {
      for (const node of cluster.controlPlanes) {
        node.putPod(manifest);
        await runsImage(cluster, node, image);
      }
    },
    () => cluster.oneHolder(),
  );
  expectOutage(effect, OUTAGE_LIMIT_MS);
  return describeEffect(effect);
}

export const PLANNED: readonly Scenario[] = [
  {
    name: 'manifest-removed',
    what: "the holder's static pod manifest removed, and put back: kubelet stops the pod, which hands over",
    run: removeAndPutBack,
  },
  {
    name: 'upgrade',
    what: 'the image upgraded and downgraded again by editing the manifest on one node after the other',
    run: async (cluster) => {
      const there = await upgrade(cluster, cluster.images.productUpgrade);
      const back = await upgrade(cluster, cluster.images.product);
      return `up: ${there}; down: ${back}`;
    },
  },
];
