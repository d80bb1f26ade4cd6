/** The pages under docs, followed to the letter. */
import { PORT, VIP_IPV4 } from '../addresses.ts';
import { joinWords, vipIsGone, type MachinesByHand } from '../by-hand.ts';
import { Kubectl } from '../kubectl.ts';
import { joinPodNetworks } from '../pod-network.ts';
import type { MachineScenario } from '../scenario.ts';

const ENDPOINT = `${VIP_IPV4}:${PORT}`;
const QUICK_START = 'quick-start.md';
const EXISTING = 'existing-cluster.md';

/** kubectl in a machine, with the administrator's kubeconfig. */
function kubectlIn(name: string): Kubectl {
  return new Kubectl(['docker', 'exec', name, 'kubectl'], '/etc/kubernetes/admin.conf');
}

async function quickStart(group: MachinesByHand): Promise<string> {
  await group.follow(QUICK_START, /^1\./);
  const printed = await group.follow(QUICK_START, /^2\./);
  await group.follow(QUICK_START, /^3\./, joinWords(printed));
  await joinPodNetworks(kubectlIn(group.first.name), group.machines);
  const looked = await group.follow(QUICK_START, /^4\./);
  const [server] = looked.split('\n');
  if (server !== `https://${ENDPOINT}`) throw new Error(`the kubeconfig names ${server}:\n${looked}`);
  for (const { name } of group.machines) {
    if (!new RegExp(`^${name} .*control-plane`, 'm').test(looked)) throw new Error(`no ${name}:\n${looked}`);
  }
  await group.follow(QUICK_START, /^Upgrade/);
  await group.follow(QUICK_START, /^Uninstall/);
  await vipIsGone(group.machines);
  return 'typed from the first import to the uninstall';
}

/** What a reader of existing-cluster.md has: a control plane whose endpoint is its first node. */
async function createOldCluster(group: MachinesByHand, apiVersion: string): Promise<void> {
  const [{ ipv4 }] = [group.first];
  const config = `apiVersion: kubeadm.k8s.io/${apiVersion}\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: ${ipv4}:6443\n`;
  const init = `cat > old.yaml << 'END'\n${config}END\nkubeadm init --config old.yaml --upload-certs`;
  const words = joinWords(await group.typeOn(group.first, init, 'kubeadm init'));
  const join = `kubeadm join ${ipv4}:6443 --token ${words['TOKEN']} --discovery-token-ca-cert-hash sha256:${words['HASH']} --control-plane --certificate-key ${words['KEY']}`;
  for (const machine of group.at('others')) await group.typeOn(machine, join, 'kubeadm join');
  await joinPodNetworks(kubectlIn(group.first.name), group.machines);
}

async function existingCluster(group: MachinesByHand, apiVersion: string): Promise<string> {
  await createOldCluster(group, apiVersion);
  for (const step of [/^1\./, /^2\./, /^3\./, /^4\./]) await group.follow(EXISTING, step);
  const printed = await group.follow(EXISTING, /^5\./);
  if (!printed.includes(`kubeadm join ${ENDPOINT} `)) throw new Error(`no join through the VIP:\n${printed}`);
  for (const machine of group.machines) {
    const servers = await machine.exec(
      'grep',
      '-h',
      'server:',
      '/etc/kubernetes/kubelet.conf',
      '/etc/kubernetes/admin.conf',
    );
    if (servers.split('\n').some((line) => line.trim() !== `server: https://${ENDPOINT}`)) {
      throw new Error(`${machine.name} still has ${servers}`);
    }
  }
  // The proof: the old endpoint goes, and the cluster does not notice.
  const [witness] = group.at('others');
  if (witness === undefined) throw new Error('there is one machine only');
  await group.first.exec('mv', '/etc/kubernetes/manifests/kube-apiserver.yaml', '/root/');
  const nodes =
    'until ! curl --silent --insecure --max-time 2 https://192.168.100.1:6443/healthz; do sleep 1; done\nKUBECONFIG=/etc/kubernetes/admin.conf kubectl get nodes';
  await group.typeOn(witness, nodes, 'kubectl get nodes without the old endpoint');
  return 'moved to the VIP by what is typed, and works without the old endpoint';
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
    run: (group, { kubeadmApiVersion }) => existingCluster(group, kubeadmApiVersion),
  },
];
