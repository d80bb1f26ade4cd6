/**
 * What an administrator gets wrong on one node: one clear line in its log, nothing moves, and it heals without a
 * restart.
 */
import { randomUUID } from 'node:crypto';

import { eventually } from '../../kit/eventually.ts';
import { ipv4Of, PORT } from '../addresses.ts';
import type { Flags, KindCluster } from '../cluster.ts';
import { expectMoves } from '../effect.ts';
import { startHaproxy, stopHaproxy } from '../left-over-haproxy.ts';
import { POD_NAME, type Node } from '../node.ts';
import { OUTAGE_LIMIT_MS, type Limits, type Scenario } from '../scenario.ts';
import { SETTLED_MS } from '../settled.ts';

/**
 * A node that is no holder is wrong, which costs nobody anything. That nothing has moved is seen before the node is put
 * right: by then it may have followed a holder that fell silent, and hands over.
 */
const UNNOTICED: Limits = { outageMs: OUTAGE_LIMIT_MS, moves: 'anyhow' };
/** Its name may be another one than eth0 by now. */
const DEFAULT_LINK = `ip -o -4 route show default | cut -d' ' -f5`;

type BadSituation = {
  readonly name: string;
  readonly what: string;
  /** For `kube-vrrp manifest`. */
  readonly flags?: (cluster: KindCluster, holder: Node) => Flags;
  /** Changes the manifest where no flag can. */
  readonly edit?: (manifest: string) => string;
  /** Before the pod is put there. */
  readonly prepare?: (node: Node) => Promise<unknown>;
  /** What the log has to say, in one line and once. */
  readonly line: RegExp;
  /** Where the container is not started, so that only kubelet can say it. */
  readonly saidBy?: 'kubelet';
  /** Takes the cause away while the pod runs; null: only another manifest can. */
  readonly heal: ((node: Node) => Promise<unknown>) | null;
  /** Brings the node back to what it was, whatever has been done to it. Does not reject. */
  readonly restore?: (node: Node) => Promise<unknown>;
  /** Where it is noticed. */
  readonly limits?: Limits;
};

type Pod = {
  status: { containerStatuses?: { ready: boolean; restartCount: number }[] };
};

/**
 * kubelet tells static pods apart by their manifests: what stood there before would come back with the restarts that it
 * has counted, and the wait that grows with them.
 */
function asNewPod(manifest: string): string {
  return manifest.replace(/^metadata:$/m, `metadata:\n  annotations: {e2e: '${randomUUID()}'}`);
}

async function containerOf(
  cluster: KindCluster,
  node: Node,
): Promise<{ ready: boolean; restartCount: number } | undefined> {
  const pod = (await cluster.kubectl.get(
    'pod',
    '--namespace=kube-system',
    `${POD_NAME}-${node.name}`,
  )) as Pod;
  return pod.status.containerStatuses?.[0];
}

async function podIsGone(cluster: KindCluster, node: Node): Promise<void> {
  await eventually(
    async () => {
      const pods = await cluster.kubectl.run('get', 'pods', '--namespace=kube-system', '--output=name');
      return !pods.split('\n').includes(`pod/${POD_NAME}-${node.name}`);
    },
    { what: `the pod on ${node.name} to be gone`, deadlineMs: SETTLED_MS },
  );
}

/** The lines that say it, of the container that runs now. */
async function said(cluster: KindCluster, node: Node, { saidBy, line }: BadSituation): Promise<string[]> {
  const log =
    saidBy === 'kubelet'
      ? await node.exec('journalctl', '--unit=kubelet', '--since=-2min', '--output=cat', '--no-pager')
      : await cluster.log(node);
  return log.split('\n').flatMap((text) => line.exec(text)?.[0] ?? []);
}

/** kubelet says it again and again. */
function expectOnce({ saidBy }: BadSituation, lines: readonly string[]): void {
  if (saidBy === 'kubelet' || lines.length === 1) return;
  throw new Error(`it had to be said once, and was said ${lines.length} times:\n${lines.join('\n')}`);
}

/** Waits until the pod that was wrong is ready. Throws when it had to be started again for that. */
async function readyWithoutHelp(cluster: KindCluster, node: Node): Promise<void> {
  const container = await eventually(
    async () => {
      const seen = await containerOf(cluster, node);
      return seen?.ready === true ? seen : null;
    },
    { what: `the pod on ${node.name} to be ready without help`, deadlineMs: SETTLED_MS },
  );
  if (container.restartCount > 0) throw new Error(`the pod on ${node.name} had to be restarted`);
}

async function putRight(cluster: KindCluster, node: Node, restore: BadSituation['restore']): Promise<void> {
  node.removePod();
  try {
    await podIsGone(cluster, node);
  } finally {
    await restore?.(node);
    node.putPod(asNewPod(await cluster.manifest()));
  }
}

async function suffer(cluster: KindCluster, situation: BadSituation): Promise<string> {
  const { flags, edit = (manifest) => manifest, prepare, line, heal, restore, limits } = situation;
  const since = new Date();
  const holder = await cluster.oneHolder();
  const node = cluster.controlPlanes.find(({ name }) => !cluster.holderNames.includes(name));
  if (node === undefined) throw new Error('every node has a VIP');
  node.removePod();
  await podIsGone(cluster, node);
  try {
    await prepare?.(node);
    node.putPod(asNewPod(edit(await cluster.manifest(flags?.(cluster, holder)))));
    const lines = await eventually(
      async () => {
        const seen = await said(cluster, node, situation);
        return seen.length > 0 ? seen : null;
      },
      { what: `the log of ${node.name} to say ${line}`, deadlineMs: SETTLED_MS },
    );
    expectOnce(situation, lines);
    if (heal !== null) {
      await heal(node);
      await readyWithoutHelp(cluster, node);
    }
    const again = await said(cluster, node, situation);
    // A container that ends for it is followed by one that has said nothing yet.
    if (heal !== null || again.length > 0) expectOnce(situation, again);
    if (limits === undefined) await expectMoves(cluster, since, null);
    return lines[0] ?? '';
  } finally {
    await putRight(cluster, node, restore);
  }
}

const SITUATIONS: readonly BadSituation[] = [
  {
    name: 'bad-interface',
    what: 'an interface in the manifest that the node does not have, and then has',
    flags: () => ({ interface: 'net9' }),
    line: /interface net9 does not exist[^"]*/,
    heal: (node) => node.exec('sh', '-c', `ip link set "$(${DEFAULT_LINK})" name net9`),
    restore: (node) => node.script('ip link set net9 name eth0'),
  },
  {
    name: 'bad-subnet',
    what: 'a VIP outside every subnet of the node, until it has an address there',
    flags: () => ({ vip: '10.77.0.10', 'vrrp-vrid': '77' }),
    line: /vip 10\.77\.0\.10[^"]*/,
    heal: (node) => node.exec('sh', '-c', `ip address add 10.77.0.2/24 dev "$(${DEFAULT_LINK})"`),
    restore: (node) => node.script(`ip address delete 10.77.0.2/24 dev "$(${DEFAULT_LINK})"`),
  },
  {
    name: 'bad-port',
    what: 'the port of the proxy taken by an haproxy that was left over, until that ends',
    prepare: startHaproxy,
    line: new RegExp(`port ${PORT} is in use[^"]*`),
    heal: stopHaproxy,
    restore: stopHaproxy,
  },
  {
    name: 'bad-ca',
    what: 'the CA of the cluster not there yet, as before kubeadm has run',
    prepare: (node) => node.exec('mv', '/etc/kubernetes/pki/ca.crt', '/root/ca.crt'),
    // kubelet 1.20 has a colon there, 1.37 a comma.
    line: /hostPath type check failed[:,] \/etc\/kubernetes\/pki\/ca\.crt is not a file/,
    saidBy: 'kubelet',
    heal: (node) => node.exec('mv', '/root/ca.crt', '/etc/kubernetes/pki/ca.crt'),
    restore: (node) => node.script('mv /root/ca.crt /etc/kubernetes/pki/ca.crt'),
  },
  {
    name: 'bad-capabilities',
    what: 'the pod without CAP_NET_ADMIN',
    edit: (manifest) => manifest.replace(/^ *- NET_ADMIN\n/m, ''),
    line: /CAP_NET_ADMIN is missing[^\n]*/,
    heal: null,
  },
  {
    name: 'bad-peers',
    what: 'the holder taken from peers on one node only, which does not hear it any more, until the file is as elsewhere',
    flags: (cluster, holder) => ({
      peers: [...cluster.others(holder).map(({ ipv4 }) => ipv4), ipv4Of(cluster.worker.name)].join(','),
    }),
    line: /dropped a VRRP packet from 192\.168\.100\.\d+: its sender is in neither peers nor vrrp\.senders[^"]*/,
    heal: null,
    limits: { outageMs: null, moves: 'anyhow', mayOverlap: true },
  },
];

export const BAD_SITUATIONS: readonly Scenario[] = SITUATIONS.map((situation) => ({
  name: situation.name,
  what: situation.what,
  limits: situation.limits ?? UNNOTICED,
  run: (cluster) => suffer(cluster, situation),
}));
