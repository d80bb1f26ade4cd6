/** Waits until the cluster is as it was made, or serves again. */
import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from '../kit/eventually.ts';
import type { KindCluster } from './cluster.ts';
import { type Node, POD_NAME } from './node.ts';
import { SETTLED_MS } from './settled.ts';
import { CACHED_PATH } from './watch.ts';

/** A watch that tells of a change later than this is worth a line. */
const LATE_WORD_MS = 2000;
/**
 * After its etcd was without a leader an API server of Kubernetes 1.20 may go without events for five minutes
 * (kubernetes/kubernetes issue 97294). Who watches there hears of nothing, whatever is between.
 */
const CACHED_MS = 400_000;
/** An API server whose watch cache is behind for longer than this is worth a line. */
const LATE_CACHE_MS = 15_000;

type PodList = {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
};

/**
 * Waits until everything is as it was made: every node, etcd, API server and kube-vrrp is Ready, both VIPs have one
 * holder each, requests are answered, every API server knows of a change, and a watch through the VIP tells of it.
 */
export async function settled(cluster: KindCluster): Promise<void> {
  for (const vip of cluster.vips) await cluster.oneHolder(vip);
  let unready: string[] = [];
  await eventually(
    async () => {
      const now = await unreadyParts(cluster);
      if (now.length > 0 && now.join() !== unready.join()) cluster.say(`not ready: ${now.join(', ')}`);
      unready = now;
      return unready.length === 0;
    },
    {
      what: 'every node, etcd, API server and kube-vrrp to be ready',
      deadlineMs: CACHED_MS,
      otherwise: () => `not ready: ${unready.join(', ')}`,
    },
  );
  await watchTells(cluster, cluster.controlPlanes);
  for (const vip of cluster.vips) await cluster.oneHolder(vip);
  // At last, so that an outage that began meanwhile has ended, and can be measured.
  await cluster.client.steady(monotonicMs(), SETTLED_MS);
}

/**
 * Waits until requests are answered again, and a watch through the VIP, begun before whatever happened, tells of a
 * change. `nodes` have API servers that are well.
 */
export async function serves(cluster: KindCluster, nodes: readonly Node[]): Promise<void> {
  await cluster.client.steady(monotonicMs(), SETTLED_MS);
  await watchTells(cluster, nodes);
}

/** Waits until the API servers of `nodes` know of a change, and a watch through the VIP tells of it. */
async function watchTells(cluster: KindCluster, nodes: readonly Node[]): Promise<void> {
  const change = await cluster.watch.change();
  for (const node of nodes) await cached(cluster, node, change.value);
  const heardMs = await cluster.watch.hears(change);
  if (heardMs > LATE_WORD_MS)
    cluster.say(`the watch told of a change after ${(heardMs / 1000).toFixed(0)} s`);
}

/** Waits until this node's API server has the value of the watched object in its watch cache. */
async function cached(cluster: KindCluster, node: Node, value: string): Promise<void> {
  const fromMs = monotonicMs();
  await eventually(async () => (await cluster.askDirectly(node, CACHED_PATH)).includes(value), {
    what: `the watch cache of the API server of ${node.name} to have a change`,
    deadlineMs: CACHED_MS,
  });
  const tookMs = monotonicMs() - fromMs;
  if (tookMs > LATE_CACHE_MS)
    cluster.say(
      `the API server of ${node.name} itself knew of a change after ${(tookMs / 1000).toFixed(0)} s only`,
    );
}

/** Names of nodes and of pods of the control plane that are not Ready. */
async function unreadyParts(cluster: KindCluster): Promise<string[]> {
  const nodes = (await cluster.kubectl.get('nodes')) as PodList;
  const pods = (await cluster.kubectl.get(
    ...['pods', '--namespace=kube-system', '--selector=tier=control-plane'],
  )) as PodList;
  const isReady = ({ status }: PodList['items'][number]): boolean =>
    status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;
  // Without the scheduler and the controller manager: who loses a lease ends, and kubelet takes its time to start it.
  const expected = cluster.controlPlanes.flatMap(({ name }) =>
    [POD_NAME, 'etcd', 'kube-apiserver'].map((pod) => `${pod}-${name}`),
  );
  const ready = new Set([...nodes.items, ...pods.items].filter(isReady).map(({ metadata }) => metadata.name));
  const unready = [...cluster.controlPlanes.map(({ name }) => name), cluster.worker.name, ...expected].filter(
    (name) => !ready.has(name),
  );
  return [...unready, ...(await silentApiServers(cluster)), ...(await silentPods(cluster))];
}

/** Asked themselves: of a pod that kubelet has only begun to replace, Kubernetes says Ready for a while. */
async function silentPods(cluster: KindCluster): Promise<string[]> {
  const asked = cluster.controlPlanes.map(async (node) =>
    (await cluster.status(node)) === null ? [`kube-vrrp on ${node.name}`] : [],
  );
  return (await Promise.all(asked)).flat();
}

/**
 * Asked themselves, without the VIP: of a node that was lost, Kubernetes says Ready for another 40 s. /readyz includes
 * the API server's etcd, which answers with a quorum only.
 */
async function silentApiServers(cluster: KindCluster): Promise<string[]> {
  const asked = cluster.controlPlanes.map(async (node) => {
    const isReady = await cluster.askDirectly(node, '/readyz').then(
      () => true,
      () => false,
    );
    return isReady ? [] : [`the API server or etcd of ${node.name}`];
  });
  return (await Promise.all(asked)).flat();
}
