/** What kubeadm made: a cluster that knows no way in but the VIP. */
import { PORT, VIP_IPV4, VIP_IPV6 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import { expectMoves } from '../effect.ts';
import { kubeletServer } from '../kubelet-server.ts';
import type { Node } from '../node.ts';
import { OUTAGE_LIMIT_MS, type Scenario } from '../scenario.ts';

const ENDPOINT = `https://${VIP_IPV4}:${PORT}`;

async function serverIn(node: Node, kubeconfig: string): Promise<string> {
  return node.exec('sed', '-n', 's/^ *server: //p', kubeconfig);
}

/** Throws unless `actual` is `expected`. */
function expectSame(what: string, actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${what} is ${actual}, and had to be ${expected}`);
}

async function endpointEverywhere(cluster: KindCluster): Promise<string> {
  for (const node of cluster.controlPlanes) {
    const servers = {
      'admin.conf': ENDPOINT,
      'kubelet.conf': kubeletServer(node, cluster.images.kubernetesVersion),
    };
    for (const [file, expected] of Object.entries(servers)) {
      expectSame(
        `server in ${file} on ${node.name}`,
        await serverIn(node, `/etc/kubernetes/${file}`),
        expected,
      );
    }
    const files = (await node.exec('ls', '/etc/kubernetes/manifests')).split('\n').toSorted();
    expectSame(
      `/etc/kubernetes/manifests on ${node.name}`,
      files.join(' '),
      'etcd.yaml kube-apiserver.yaml kube-controller-manager.yaml kube-scheduler.yaml kube-vrrp.yaml',
    );
    const pod = await node.exec('cat', '/etc/kubernetes/manifests/kube-vrrp.yaml');
    for (const word of ['hostAliases', 'super-admin', 'admin.conf']) {
      if (pod.includes(word)) throw new Error(`the static pod on ${node.name} says ${word}`);
    }
  }
  expectSame(
    'server in kubelet.conf of the worker',
    await serverIn(cluster.worker, '/etc/kubernetes/kubelet.conf'),
    ENDPOINT,
  );
  const info = await cluster.kubectl.run(
    'get',
    'configmap',
    '--namespace=kube-public',
    'cluster-info',
    '--output=yaml',
  );
  if (!info.includes(ENDPOINT)) throw new Error(`cluster-info does not name ${ENDPOINT}`);
  return 'admin.conf, kubelet.conf and cluster-info name the right endpoint';
}

/** A machine on which three control planes start at once may be too slow for an advertisement now and then. */
const VACANCY_LIMIT_MS = 4000;

/** A move cuts the connections of the kubeadm that runs: rising health of the nodes that join must move nothing. */
async function steadyWhileMade(cluster: KindCluster): Promise<string> {
  if (cluster.madeSince === null) return 'made by another run';
  const { timeline } = cluster.holders;
  let vacancyMs = 0;
  let holders = 0;
  for (const vip of cluster.vips) {
    const fromMs = timeline.spans(vip).find((span) => span.holders.length > 0)?.fromMs ?? 0;
    vacancyMs = Math.max(vacancyMs, timeline.longestVacancyMs(vip, fromMs));
    holders = Math.max(holders, new Set(timeline.spans(vip, fromMs).flatMap((span) => span.holders)).size);
    if (vacancyMs > VACANCY_LIMIT_MS) {
      throw new Error(`the VIP was gone for ${vacancyMs.toFixed(0)} ms:\n${timeline.describe(vip, fromMs)}`);
    }
  }
  await expectMoves(cluster, cluster.madeSince, null);
  return `${holders === 1 ? 'one holder' : `${holders} holders`} while it was made (longest time without: ${vacancyMs.toFixed(0)} ms)`;
}

/** Through the IPv6 VIP, as the certificate has to have both. */
async function dualStack(cluster: KindCluster): Promise<string> {
  const version = await cluster.kubectl.run(
    'get',
    '--raw=/version',
    `--server=https://[${VIP_IPV6}]:${PORT}`,
  );
  if (!/"gitVersion": *"v/.test(version)) throw new Error(`no answer through ${VIP_IPV6}: ${version}`);
  return `kubectl works through [${VIP_IPV6}]:${PORT} too`;
}

/**
 * Of proc(5) and capabilities(7): CAP_NET_ADMIN is bit 12, CAP_NET_RAW 13, CAP_SYS_NICE 23; seccomp filters are mode 2.
 */
const HARDENED = { CapEff: '0000000000803000', CapBnd: '0000000000803000', NoNewPrivs: '1', Seccomp: '2' };

/** What the manifest asks for is what the kernel enforces. */
async function hardened(cluster: KindCluster): Promise<string> {
  const process = "$(pgrep --oldest --full 'kube-vrrp.* run$')";
  for (const node of cluster.controlPlanes) {
    const { stdout, stderr } = await node.script(
      `cat "/proc/${process}/status"; touch "/proc/${process}/root/x" 2>&1 || true`,
    );
    for (const [field, expected] of Object.entries(HARDENED)) {
      const [, actual = ''] = new RegExp(`^${field}:\\s+(\\S+)$`, 'm').exec(stdout) ?? [];
      expectSame(`${field} of kube-vrrp on ${node.name}`, actual, expected);
    }
    if (!stdout.includes('Read-only file system'))
      throw new Error(`the root of kube-vrrp on ${node.name} is not read-only: ${stderr}`);
  }
  return 'no capabilities but NET_ADMIN, NET_RAW and SYS_NICE';
}

export const CREATED: readonly Scenario[] = [
  {
    name: 'created',
    what: 'kubeadm init, two joins of control planes and one of a worker, all through the VIP',
    limits: { outageMs: OUTAGE_LIMIT_MS, moves: null },
    run: async (cluster) =>
      [
        await steadyWhileMade(cluster),
        await endpointEverywhere(cluster),
        await dualStack(cluster),
        await hardened(cluster),
      ].join(', '),
  },
];
