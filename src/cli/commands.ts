/** What each command is called, takes and does: help texts and the reading of arguments both follow from this. */
import { CONFIG_FIELDS, type ConfigField } from '../config/schema.ts';

type CommandOption = {
  /** Without dashes. */
  readonly name: string;
  /** What stands for the value in help; null for a switch. */
  readonly placeholder: string | null;
  readonly description: string;
};

export type CommandName =
  | 'run'
  | 'check'
  | 'status'
  | 'drain'
  | 'undrain'
  | 'manifest'
  | 'kubeadm'
  | 'import'
  | 'config'
  | 'version';

export type CommandSpec = {
  readonly name: CommandName;
  readonly summary: string;
  readonly details: string;
  readonly options: readonly CommandOption[];
  /** Configuration flags that the command takes. */
  readonly configFields: readonly ConfigField[];
  readonly examples: readonly (readonly [line: string, meaning: string])[];
};

const CONFIG_OPTION: CommandOption = {
  name: 'config',
  placeholder: 'FILE',
  description: 'The configuration file (YAML), or - for standard input. Also KUBE_VRRP_CONFIG.',
};
const JSON_OPTION: CommandOption = {
  name: 'json',
  placeholder: null,
  description: 'Print JSON, for scripts.',
};
const ADMIN_FIELDS = CONFIG_FIELDS.filter(({ path }) => path.startsWith('admin.'));
const SOCKET_FIELDS = ADMIN_FIELDS.filter(({ path }) => path === 'admin.socket');

/** For what is asked of a node on which kube-vrrp runs: as a static pod, so that no host has the program. */
function inPod(name: CommandName): readonly [string, string] {
  return [`kubectl -n kube-system exec kube-vrrp-NODE -- kube-vrrp ${name}`, 'in the static pod of NODE'];
}

export const COMMANDS: Readonly<Record<CommandName, CommandSpec>> = {
  run: {
    name: 'run',
    summary: 'Take part in the election of the VIP and proxy to the API servers, until stopped.',
    details:
      'Needs the capabilities NET_ADMIN and NET_RAW. SIGTERM hands the VIP over and ends. SIGHUP reads the certificates and log.level again. SIGUSR1 logs the state.',
    options: [CONFIG_OPTION],
    configFields: CONFIG_FIELDS,
    examples: [
      ['kube-vrrp run --config /etc/kubernetes/kube-vrrp.yaml', 'with a file'],
      ['kube-vrrp run --vip 192.168.100.10 --peers 192.168.100.1,192.168.100.2,192.168.100.3', 'without one'],
    ],
  },
  check: {
    name: 'check',
    summary: 'Check the configuration and this node, and say what to do about each finding.',
    details:
      'Needs no running kube-vrrp and disturbs none. Takes about 4 seconds, most of them listening for other virtual routers. Exits 0 when nothing failed, 1 when something did, 2 when the configuration is wrong.',
    options: [CONFIG_OPTION, JSON_OPTION],
    configFields: CONFIG_FIELDS,
    examples: [
      ['kube-vrrp check --config /etc/kubernetes/kube-vrrp.yaml', 'before kubeadm init, and after'],
      inPod('check'),
    ],
  },
  status: {
    name: 'status',
    summary:
      'Show who holds the VIP and which API servers are healthy, as the kube-vrrp of this node sees it.',
    details: 'Asks the admin address, or the control socket where that is off.',
    options: [
      CONFIG_OPTION,
      { name: 'watch', placeholder: null, description: 'Show it again each second, until stopped.' },
      JSON_OPTION,
    ],
    configFields: ADMIN_FIELDS,
    examples: [
      ['kube-vrrp status --watch', 'follow a failover'],
      ['kube-vrrp status --json', 'for scripts'],
      inPod('status'),
    ],
  },
  drain: {
    name: 'drain',
    summary: 'Hand the VIP over to another node and keep it away from this one, as before maintenance.',
    details:
      'Returns when the VIP has moved. The node stays drained until undrain or until its kube-vrrp restarts. Refused when no other node is healthy. With --force it exits 1 when no node holds the VIP afterwards.',
    options: [
      CONFIG_OPTION,
      { name: 'force', placeholder: null, description: 'Drain even when no other node is healthy.' },
      {
        name: 'timeout',
        placeholder: 'DURATION',
        description: 'Longest wait for the VIP to move. Default: 30s.',
      },
    ],
    configFields: SOCKET_FIELDS,
    examples: [
      ['kube-vrrp drain && kubectl drain node-1 --ignore-daemonsets', 'before an upgrade of node-1'],
      inPod('drain'),
    ],
  },
  undrain: {
    name: 'undrain',
    summary: 'Let this node hold the VIP again after a drain.',
    details: 'The VIP does not move by that.',
    options: [CONFIG_OPTION],
    configFields: SOCKET_FIELDS,
    examples: [['kube-vrrp undrain', 'after maintenance'], inPod('undrain')],
  },
  manifest: {
    name: 'manifest',
    summary: 'Print the static pod for /etc/kubernetes/manifests, with this configuration in it.',
    details:
      'One file for all control-plane nodes. Needs no cluster, and changes nothing: save what it prints on each node before kubeadm runs there.',
    options: [
      CONFIG_OPTION,
      {
        name: 'image',
        placeholder: 'REF',
        description: 'The container image. Default: kube-vrrp of this version.',
      },
      { name: 'name', placeholder: 'NAME', description: 'Name of the pod. Default: kube-vrrp.' },
    ],
    configFields: CONFIG_FIELDS,
    examples: [
      ['kube-vrrp manifest --vip 192.168.100.10 --peers 192.168.100.1,192.168.100.2,192.168.100.3', ''],
      [
        'kube-vrrp manifest --config kube-vrrp.yaml --image registry.example/kube-vrrp:1.0.0',
        'your own image',
      ],
    ],
  },
  kubeadm: {
    name: 'kubeadm',
    summary: 'Print the configuration for kubeadm init, and the init and join commands, for this VIP.',
    details:
      'The same for every version of kubeadm but for its first line and its comments. Needs no cluster, and changes nothing.',
    options: [
      CONFIG_OPTION,
      {
        name: 'api-version',
        placeholder: 'VER',
        description:
          'v1beta4 for kubeadm 1.31 and later (the default), v1beta3 for 1.22 to 1.36, v1beta2 for 1.15 to 1.26.',
      },
    ],
    configFields: CONFIG_FIELDS,
    examples: [
      ['kube-vrrp kubeadm --config kube-vrrp.yaml > kubeadm.yaml', 'then kubeadm init --config kubeadm.yaml'],
      ['kube-vrrp kubeadm --config kube-vrrp.yaml --api-version v1beta3', 'for an older kubeadm'],
    ],
  },
  import: {
    name: 'import',
    summary: 'Print a configuration made of the files of keepalived and HAProxy, or of kube-vip.',
    details:
      'What has no counterpart, or is different, goes to standard error, a line each. Flags of the configuration beat the files, and give what they do not have, such as peers. Changes nothing.',
    options: [
      { name: 'keepalived', placeholder: 'FILE', description: 'keepalived.conf, with all that it includes.' },
      { name: 'haproxy', placeholder: 'FILE', description: 'haproxy.cfg.' },
      { name: 'kube-vip', placeholder: 'FILE', description: 'The manifest of the kube-vip pod.' },
    ],
    configFields: CONFIG_FIELDS,
    examples: [
      [
        'kube-vrrp import --keepalived /etc/keepalived/keepalived.conf --haproxy /etc/haproxy/haproxy.cfg',
        '',
      ],
      ['kube-vrrp import --kube-vip kube-vip.yaml --peers 192.168.100.1,192.168.100.2,192.168.100.3', ''],
    ],
  },
  config: {
    name: 'config',
    summary: 'Print the configuration with where each value comes from, or what can be configured.',
    details:
      'By default --print. In a pod, which gets its configuration by variables, it prints what the node runs with.',
    options: [
      CONFIG_OPTION,
      { name: 'print', placeholder: null, description: 'Print every value, and where it comes from.' },
      { name: 'reference', placeholder: null, description: 'Print the reference of all keys, as Markdown.' },
      { name: 'schema', placeholder: null, description: 'Print the JSON Schema of the file, for editors.' },
    ],
    configFields: CONFIG_FIELDS,
    examples: [['kube-vrrp config --config kube-vrrp.yaml', 'what it runs with'], inPod('config')],
  },
  version: {
    name: 'version',
    summary: 'Print the versions of kube-vrrp and Node.',
    details: '',
    options: [JSON_OPTION],
    configFields: [],
    examples: [['kube-vrrp version', 'also kube-vrrp --version and kube-vrrp -V']],
  },
};
