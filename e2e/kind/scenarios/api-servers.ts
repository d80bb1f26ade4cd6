/** kube-vrrp is well, and what it stands before is not: the VIP stays where it is. */
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../../src/runtime/clock.ts';
import { eventually } from '../../kit/eventually.ts';
import type { KindCluster } from '../cluster.ts';
import { describeSince, effectSince } from '../effect.ts';
import { serves } from '../readiness.ts';
import type { Node } from '../node.ts';
import { LOSS_OUTAGE_LIMIT_MS, OUTAGE_LIMIT_MS, type Scenario } from '../scenario.ts';
import { SETTLED_MS } from '../settled.ts';

/** Several times as long as an election of etcd takes. */
const QUORUM_LOST_MS = 10_000;

/** Waits until kube-vrrp on `observer` counts the API server of `node` as up, or as anything else. */
async function sees(cluster: KindCluster, observer: Node, node: Node, isUp: boolean): Promise<void> {
  await eventually(
    async () => {
      const status = await cluster.status(observer);
      const backend = status?.backends.find(({ id }) => id.startsWith(`${node.ipv4}:`));
      return backend !== undefined && (backend.state === 'up') === isUp;
    },
    {
      what: `${observer.name} to see the API server of ${node.name} ${isUp ? 'up' : 'down'}`,
      deadlineMs: SETTLED_MS,
    },
  );
}

async function apiServerOfHolder(cluster: KindCluster): Promise<string> {
  const holder = await cluster.oneHolder();
  try {
    holder.moveAside('kube-apiserver');
    await sees(cluster, holder, holder, false);
    await serves(cluster, cluster.others(holder));
  } finally {
    holder.putBack('kube-apiserver');
  }
  await sees(cluster, holder, holder, true);
  return '';
}

async function kubeletOfHolder(cluster: KindCluster): Promise<string> {
  const holder = await cluster.oneHolder();
  const fromMs = monotonicMs();
  try {
    await holder.exec('systemctl', 'stop', 'kubelet');
    // The node counts as lost after 40 s; kube-vrrp does not ask about that.
    await eventually(async () => (await readiness(cluster, holder)) !== 'True', {
      what: `${holder.name} to be NotReady`,
      deadlineMs: SETTLED_MS,
    });
    await serves(cluster, cluster.controlPlanes);
    if (effectSince(cluster, fromMs).errors > 0)
      throw new Error(
        `no request may be refused or cut short while kubelet is stopped:\n${describeSince(cluster, fromMs)}`,
      );
  } finally {
    await holder.exec('systemctl', 'start', 'kubelet');
  }
  return '';
}

async function readiness(cluster: KindCluster, node: Node): Promise<string> {
  const path = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  return cluster.kubectl.run('get', 'node', node.name, path);
}

/**
 * etcd on both other nodes answers nobody: every API server becomes unhealthy at once, and no node has a better one.
 * The processes are stopped where they are: kubelet 1.20 would need the quorum to get over the loss of etcd's manifest.
 */
async function quorumLost(cluster: KindCluster): Promise<string> {
  const holder = await cluster.oneHolder();
  const others = cluster.others(holder);
  const fromMs = monotonicMs();
  try {
    for (const node of others) await signalEtcd(node, 'STOP');
    for (const node of cluster.controlPlanes) await isOfClassC(cluster, node);
    const unhealthyAtMs = monotonicMs();
    await delay(QUORUM_LOST_MS);
    nobodyElseHas(cluster, holder, unhealthyAtMs);
  } finally {
    for (const node of others) await signalEtcd(node, 'CONT');
  }
  for (const node of cluster.controlPlanes) await sees(cluster, holder, node, true);
  return `without quorum for ${((monotonicMs() - fromMs) / 1000).toFixed(0)} s, VIP stayed`;
}

function signalEtcd(node: Node, signal: 'STOP' | 'CONT'): Promise<string> {
  return node.exec('pkill', `--signal=${signal}`, '--exact', 'etcd');
}

async function isOfClassC(cluster: KindCluster, node: Node): Promise<void> {
  await eventually(async () => (await cluster.status(node))?.class === 'C', {
    what: `${node.name} to be of class C`,
    deadlineMs: SETTLED_MS,
  });
}

/**
 * Its kernel may take a VIP away from the holder for a moment, when this machine has no time for its daemon for a
 * second.
 */
function nobodyElseHas(cluster: KindCluster, holder: Node, fromMs: number): void {
  const [vip = ''] = cluster.vips;
  const { timeline } = cluster.holders;
  const usurpers = timeline
    .spans(vip, fromMs)
    .flatMap(({ holders }) => holders.filter((name) => name !== holder.name));
  if (usurpers.length > 0)
    throw new Error(`no node but ${holder.name} may have the VIP:\n${timeline.describe(vip, fromMs)}`);
}

export const API_SERVERS: readonly Scenario[] = [
  {
    name: 'apiserver-of-holder',
    what: "the holder's kube-apiserver stopped by its manifest, and started: the peers' serve, the VIP stays",
    limits: { outageMs: OUTAGE_LIMIT_MS, moves: null },
    run: apiServerOfHolder,
  },
  {
    name: 'kubelet-of-holder',
    what: "the holder's kubelet stopped while the pod runs, and started: nobody notices",
    limits: { outageMs: OUTAGE_LIMIT_MS, moves: null },
    run: kubeletOfHolder,
  },
  {
    name: 'etcd-quorum',
    what: 'the quorum of etcd lost and regained: every API server is unhealthy, the VIP stays',
    limits: { outageMs: LOSS_OUTAGE_LIMIT_MS, moves: null },
    run: quorumLost,
  },
];
