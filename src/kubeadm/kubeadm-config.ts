/** What kubeadm has to be told so that a cluster lives behind the VIP. Pure. */
import type { Config } from '../config/config.ts';
import { formatHostPort, type IpAddress } from '../ip/address.ts';
import { ended, noted, quoted, renderYaml, type Tree } from '../config/noted-yaml.ts';

/** Versions of kubeadm's configuration, newest first. */
export const API_VERSIONS = ['v1beta4', 'v1beta3', 'v1beta2'] as const;
export type ApiVersion = (typeof API_VERSIONS)[number];

/** The minor release of kubeadm 1 that brought the version. */
export const FIRST_MINOR: Readonly<Record<ApiVersion, number>> = { v1beta4: 31, v1beta3: 22, v1beta2: 15 };

/** From that release to the last one before the version's removal. */
const READ_BY: Readonly<Record<ApiVersion, string>> = {
  v1beta4: `kubeadm 1.${FIRST_MINOR.v1beta4} and later`,
  v1beta3: `kubeadm 1.${FIRST_MINOR.v1beta3} to 1.36 (from 1.${FIRST_MINOR.v1beta4} on v1beta4 is better)`,
  v1beta2: `kubeadm 1.${FIRST_MINOR.v1beta2} to 1.26`,
};

/** What becomes different when more is added to the file; all else but EXTRA_ARGS is the same in all three. */
const DIFFERENCES: Readonly<Record<ApiVersion, string>> = {
  v1beta4:
    'Add what your cluster needs. In v1beta4 extraArgs is a list of name and value; in v1beta3 and v1beta2 it was a mapping.',
  v1beta3:
    'Add what your cluster needs. In v1beta3 extraArgs is a mapping; v1beta4 has a list of name and value.',
  v1beta2: 'Add what your cluster needs. In v1beta2 extraArgs is a mapping, as in v1beta3.',
};

const GOAWAY_REASON = 'moves HTTP/2 clients now and then, which else stay with one API server for ever.';
const GOAWAY_MAPPING = ['extraArgs:', "  goaway-chance: '0.001'"];

/** Below `apiServer`, as a comment: the one flag that a control plane behind a proxy is better with. */
const EXTRA_ARGS: Readonly<Record<ApiVersion, readonly string[]>> = {
  v1beta4: [`Optional: ${GOAWAY_REASON}`, 'extraArgs:', '  - name: goaway-chance', "    value: '0.001'"],
  v1beta3: [`Optional: ${GOAWAY_REASON}`, ...GOAWAY_MAPPING],
  v1beta2: [`Optional, from Kubernetes 1.18 on: ${GOAWAY_REASON}`, ...GOAWAY_MAPPING],
};

const KUBEADM_API_PORT = 6443;

/** What kubeadm calls its check that the manifests folder is empty, until kubernetes/kubernetes 104942 (1.23). */
const MANIFESTS_CHECK = 'DirAvailable--etc-kubernetes-manifests';
const WITHOUT_MANIFESTS_CHECK_MINOR = 23;

function endpointOf({ vips: [vip], proxy }: Config): string {
  if (vip === undefined) throw new Error('a Config has at least one VIP');
  return formatHostPort(vip, proxy.port);
}

function steps(config: Config, apiVersion: ApiVersion): string[] {
  const endpoint = endpointOf(config);
  // A shell may take unquoted brackets for a pattern.
  const target = endpoint.startsWith('[') ? `"${endpoint}"` : endpoint;
  const join = `kubeadm join ${target} --token TOKEN --discovery-token-ca-cert-hash sha256:HASH`;
  const { backendPort } = config.proxy;
  const bindPort = backendPort === KUBEADM_API_PORT ? '' : ` --apiserver-bind-port ${backendPort}`;
  const hasManifestsCheck = FIRST_MINOR[apiVersion] < WITHOUT_MANIFESTS_CHECK_MINOR;
  const ignore = hasManifestsCheck ? ` --ignore-preflight-errors=${MANIFESTS_CHECK}` : '';
  return [
    'On every control-plane node first: /etc/kubernetes/manifests/kube-vrrp.yaml, from `kube-vrrp manifest` with the same configuration, and its image.',
    'On the first node, with this file as kubeadm.yaml:',
    '  kubeadm init --config kubeadm.yaml --upload-certs',
    'On each other control-plane node, with the values that kubeadm init printed:',
    `  ${join} --control-plane --certificate-key KEY${bindPort}${ignore}`,
    ...(hasManifestsCheck
      ? [
          `The last flag is for kubeadm before 1.${WITHOUT_MANIFESTS_CHECK_MINOR}, whose join refuses a manifests folder that has a file, such as kube-vrrp.yaml. A later kubeadm does not need it.`,
        ]
      : []),
    'On each worker, which needs no kube-vrrp:',
    `  ${join}`,
    'KEY is good for 2 hours and TOKEN for 24. New ones, on a control-plane node:',
    '  kubeadm init phase upload-certs --upload-certs',
    '  kubeadm token create --print-join-command',
  ];
}

function listText(addresses: readonly IpAddress[]): string {
  return addresses.map(({ text }) => text).join(', ');
}

/** What the VIPs' families ask of the rest of the file, and of the nodes. */
function familyNotes({ vips, peers }: Config): string[] {
  const ipv6Peers = peers.filter(({ family }) => family === 'IPv6');
  const its = ipv6Peers.length === 0 ? 'its own address' : `its own of ${listText(ipv6Peers)}`;
  const dualStack =
    'Dual stack: clients are given the first VIP; the second is good for the same certificate. networking.podSubnet and networking.serviceSubnet need a range of each family, that of the first VIP first.';
  const nodeIp = [
    `An IPv6 VIP stands before the address of its holder in the kernel's list, and what takes the first one takes the VIP for the node. So tell kubelet on each control-plane node, before kubeadm init and kubeadm join, with ${its} as ADDRESS (in /etc/sysconfig/kubelet where kubelet is from an RPM, and with --node-ip=IPV4,IPV6 in a dual-stack cluster):`,
    '  echo KUBELET_EXTRA_ARGS=--node-ip=ADDRESS > /etc/default/kubelet',
  ];
  const advertised = `Name the same address in localAPIEndpoint.advertiseAddress of an InitConfiguration on the first node, and with --apiserver-advertise-address when the others join: kubeadm would take the IPv4 address of a node that has one.`;
  return [
    ...(vips.length > 1 ? [dualStack] : []),
    ...(vips.some(({ family }) => family === 'IPv6') ? nodeIp : []),
    ...(vips[0]?.family === 'IPv6' ? [advertised] : []),
  ];
}

function clusterTree(config: Config, apiVersion: ApiVersion): { [key: string]: Tree } {
  return {
    apiVersion: `kubeadm.k8s.io/${apiVersion}`,
    kind: 'ClusterConfiguration',
    controlPlaneEndpoint: noted(
      'The VIP and the port of the proxy: what kubelets and kubeconfigs are given. From kubeadm 1.33 on the kubelet of a control-plane node asks the API server of its own node instead.',
      quoted(endpointOf(config)),
    ),
    apiServer: ended(
      {
        certSANs: noted(
          'The VIPs, which clients use, and peers, by which kube-vrrp verifies the API servers. kubeadm adds by itself the address that a node advertises, which on a node with several may be another than in peers, and the names of the Service.',
          [...config.vips, ...config.peers].map(({ text }) => quoted(text)),
        ),
      },
      EXTRA_ARGS[apiVersion],
    ),
  };
}

/** The API server of the first node listens where the proxies look for it. */
function initDocument({ proxy }: Config, apiVersion: ApiVersion): string[] {
  if (proxy.backendPort === KUBEADM_API_PORT) return [];
  const tree = {
    apiVersion: `kubeadm.k8s.io/${apiVersion}`,
    kind: 'InitConfiguration',
    localAPIEndpoint: {
      bindPort: noted('proxy.backendPort; kubeadm join is given it by a flag.', proxy.backendPort),
    },
  };
  return ['---\n', renderYaml([], tree)];
}

/** The configuration for `kubeadm init` as YAML, with the commands to run as comments. */
export function kubeadmConfig(config: Config, apiVersion: ApiVersion): string {
  const heading = [
    `For ${READ_BY[apiVersion]}: a control plane behind kube-vrrp.`,
    '',
    ...steps(config, apiVersion),
    '',
    ...familyNotes(config),
    DIFFERENCES[apiVersion],
  ];
  const documents = [
    renderYaml(heading, clusterTree(config, apiVersion)),
    ...initDocument(config, apiVersion),
  ];
  return documents.join('');
}
