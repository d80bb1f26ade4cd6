/**
 * The pages under docs, typed as they stand, but for two things: `by-hand.ts` puts in what the page leaves to the
 * reader (the API version of kubeadm, the token, the new image), and `kubeadm-in-container` what kubeadm needs in a
 * container.
 */
import { PORT, VIP_IPV4 } from '../addresses.ts';
import { hasVip, joinWords, vipIsGone, type MachinesByHand } from '../by-hand.ts';
import type { Images } from '../images.ts';
import { kubectlIn } from '../kubectl.ts';
import { kubeletServer } from '../kubelet-server.ts';
import type { Machine } from '../machine.ts';
import { joinPodNetworks } from '../pod-network.ts';
import type { MachineScenario } from '../scenario.ts';

const ENDPOINT = `${VIP_IPV4}:${PORT}`;
const QUICK_START = 'quick-start.md';
const EXISTING = 'existing-cluster.md';
/** No node's own name: only what is in certSANs keeps it in the API servers' certificates. */
const OLD_HOST = 'old-endpoint.example';
const OLD_ENDPOINT = `${OLD_HOST}:6443`;
/** In certSANs of the old cluster, as an example of what somebody has put there before. */
const OTHER_HOST = 'other.example';

/** The machine that has the VIP is the last. */
async function backupsFirst(machines: readonly Machine[]): Promise<Machine[]> {
  const turns = await Promise.all(
    machines.map(async (machine) => ({ machine, isHolder: await hasVip(machine) })),
  );
  return turns.toSorted((a, b) => Number(a.isHolder) - Number(b.isHolder)).map(({ machine }) => machine);
}

/** After the uninstall. The images are left to crictl, which the machines have a part of only. */
async function nothingIsLeft(group: MachinesByHand): Promise<void> {
  await vipIsGone(group.machines);
  const look = ['test -z "$(find /etc /root -name \'*kube-vrrp*\' -o -name kubeadm.yaml)"'].join('\n');
  for (const machine of group.machines) await group.typeOn(machine, look, 'the look after the uninstall');
}

async function quickStart(group: MachinesByHand): Promise<string> {
  await group.follow(QUICK_START, /^1\./);
  const printed = await group.follow(QUICK_START, /^2\./);
  await group.follow(QUICK_START, /^3\./, { replacements: joinWords(printed) });
  await joinPodNetworks(kubectlIn(group.first.name), group.machines);
  const looked = await group.follow(QUICK_START, /^4\./);
  const [server] = looked.split('\n');
  if (server !== `https://${ENDPOINT}`) throw new Error(`the kubeconfig names ${server}:\n${looked}`);
  for (const { name } of group.machines) {
    if (!new RegExp(`^${name} .*control-plane`, 'm').test(looked)) throw new Error(`no ${name}:\n${looked}`);
  }
  await group.follow(QUICK_START, /^Upgrade/);
  // Of what the page asks for before, the other endpoint is left out: nobody asks this cluster anything any more.
  await group.follow(QUICK_START, /^Uninstall/, { order: await backupsFirst(group.machines) });
  await nothingIsLeft(group);
  return 'typed from the first import to the uninstall';
}

/** What a reader of existing-cluster.md has: a control plane whose endpoint is a name, here of its first node. */
async function createOldCluster(group: MachinesByHand, apiVersion: string): Promise<void> {
  for (const machine of group.machines) {
    await group.typeOn(
      machine,
      `echo ${group.first.ipv4} ${OLD_HOST} >> /etc/hosts`,
      'the name of the endpoint',
    );
  }
  const config = `apiVersion: kubeadm.k8s.io/${apiVersion}
kind: ClusterConfiguration
controlPlaneEndpoint: ${OLD_ENDPOINT}
apiServer:
  certSANs:
  - ${OTHER_HOST}
`;
  const init = `cat > old.yaml << 'END'\n${config}END\nkubeadm init --config old.yaml --upload-certs`;
  const words = joinWords(await group.typeOn(group.first, init, 'kubeadm init'));
  const join = `kubeadm join ${OLD_ENDPOINT} --token ${words['TOKEN']} --discovery-token-ca-cert-hash sha256:${words['HASH']} --control-plane --certificate-key ${words['KEY']}`;
  for (const machine of group.at('others')) await group.typeOn(machine, join, 'kubeadm join');
  await joinPodNetworks(kubectlIn(group.first.name), group.machines);
}

/** By new connections that trust the cluster's CA alone: every API server has the name, kubelets and people get in. */
async function oldEndpointWorks(group: MachinesByHand, when: string): Promise<void> {
  const lines = group.machines.flatMap(({ ipv4 }) =>
    [OLD_HOST, OTHER_HOST].map(
      (host) =>
        `curl --silent --show-error --fail --cacert /etc/kubernetes/pki/ca.crt --connect-to ::${ipv4}:6443 https://${host}/healthz`,
    ),
  );
  for (const machine of group.machines) {
    const asKubelet = `kubectl --kubeconfig /etc/kubernetes/kubelet.conf --server https://${OLD_ENDPOINT} get node ${machine.name}`;
    const asAdmin = `kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://${OLD_ENDPOINT} get nodes`;
    await group.typeOn(machine, [...lines, asKubelet, asAdmin].join('\n'), `the old endpoint ${when}`);
  }
}

async function namesTheVip(machine: Machine, kubernetesVersion: string): Promise<void> {
  const servers = {
    'admin.conf': `https://${ENDPOINT}`,
    'kubelet.conf': kubeletServer(machine, kubernetesVersion),
  };
  for (const [file, server] of Object.entries(servers)) {
    const line = await machine.exec('grep', 'server:', `/etc/kubernetes/${file}`);
    if (line.trim() !== `server: ${server}`) throw new Error(`${file} of ${machine.name} has ${line.trim()}`);
  }
}

async function existingCluster(
  group: MachinesByHand,
  { kubeadmApiVersion, kubernetesVersion }: Images,
): Promise<string> {
  await createOldCluster(group, kubeadmApiVersion);
  let printed = '';
  for (const step of [1, 2, 3, 4, 5]) {
    printed = await group.follow(EXISTING, new RegExp(`^${step}\\.`));
    await oldEndpointWorks(group, `after step ${step}`);
  }
  if (!printed.includes(`kubeadm join ${ENDPOINT} `)) throw new Error(`no join through the VIP:\n${printed}`);
  for (const machine of group.machines) await namesTheVip(machine, kubernetesVersion);
  await group.follow(EXISTING, /^6\./);
  // The proof: the old endpoint goes, and the cluster does not notice.
  const [witness] = group.at('others');
  if (witness === undefined) throw new Error('there is one machine only');
  await group.first.exec('mv', '/etc/kubernetes/manifests/kube-apiserver.yaml', '/root/');
  const nodes =
    'until ! curl --silent --insecure --max-time 2 https://192.168.100.1:6443/healthz; do sleep 1; done\nKUBECONFIG=/etc/kubernetes/admin.conf kubectl get nodes';
  await group.typeOn(witness, nodes, 'kubectl get nodes without the old endpoint');
  return 'moved to the VIP by what is typed, beside the old endpoint and then without it';
}

export const DOCUMENTED: readonly MachineScenario[] = [
  {
    name: 'quick-start',
    what: 'docs/quick-start.md typed on three fresh machines: init, two joins, upgrade, uninstall',
    run: quickStart,
  },
  {
    name: 'existing-cluster',
    what: 'docs/existing-cluster.md typed on a cluster that has another endpoint',
    run: existingCluster,
  },
];
