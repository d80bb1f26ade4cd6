/** The static pod that runs kube-vrrp on a control-plane node. Pure. */
import type { Config } from '../config/config.ts';
import type { Parsed } from '../config/parse.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import type { IpAddress } from '../ip/address.ts';
import { noted, quoted, renderYaml, type Tree } from '../config/noted-yaml.ts';
import { configVariables, type Variable } from './variables.ts';

export type StaticPodOptions = {
  readonly config: Config;
  /** Reference of the container image; its entry point is kube-vrrp. */
  readonly image: string;
  /** Of the pod; kubelet appends the name of the node. */
  readonly name: string;
};

/** Name of a host or address, path, tag and digest, as container runtimes read them. */
const IMAGE =
  /^(?:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?\/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;

/** RFC 1123 label: the name of the container and the value of a label too. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What is wrong with the options of the pod that are no configuration. */
export function findOptionProblems({ image, name }: Omit<StaticPodOptions, 'config'>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (path: string, value: string, message: string): void => {
    problems.push({ path, value: quoteValue(value), message, where: null });
  };
  if (image.length > 1024 || !IMAGE.test(image)) {
    report('--image', image, 'expected the reference of an image, such as registry.example/kube-vrrp:1.0.0');
  }
  if (!LABEL.test(name)) {
    report('--name', name, 'expected 1 to 63 lower-case letters, digits and dashes, such as kube-vrrp');
  }
  return problems;
}

/** Path of the folder that a file lies in. */
function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 1));
}

/** Kubernetes refuses these in volumes: its mountPath has no colon, its hostPath no `..`. */
function isMountable(path: string): boolean {
  return path.startsWith('/') && !path.includes(':') && !path.split('/').includes('..');
}

type NodeFile = { readonly volume: string; readonly key: string; readonly path: string };

/** What the pod gets from the node, by its path; one file for two keys is one volume. The CA is the first. */
function nodeFiles({ health }: Config): NodeFile[] {
  const files = [
    { volume: 'cluster-ca', key: 'health.caFile', path: health.caFile },
    { volume: 'client-cert', key: 'health.clientCertFile', path: health.clientCertFile },
    { volume: 'client-key', key: 'health.clientKeyFile', path: health.clientKeyFile },
  ];
  return files.flatMap(({ path, ...file }, index) =>
    path === null || files.findIndex((other) => other.path === path) !== index ? [] : [{ ...file, path }],
  );
}

/** Control, format and line-breaking characters: not every YAML reader gives them back. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u;

/** What a daemon started by hand may have and a pod may not. */
function findPodProblems(config: Config, variables: readonly Variable[]): ConfigProblem[] {
  const { admin } = config;
  const problems: ConfigProblem[] = [];
  const report = (path: string, value: string, message: string): void => {
    problems.push({ path, value: quoteValue(value), message, where: null });
  };
  for (const { field, text } of variables) {
    if (UNPRINTABLE.test(text))
      report(field.path, text, 'expected printable characters only, for a manifest');
  }
  const files = nodeFiles(config);
  for (const { key, path } of files) {
    if (isMountable(path) && !path.endsWith('/')) continue;
    const message =
      'expected an absolute path without : or .., as the pod gets the file from the node by its path';
    report(key, path, message);
  }
  if (admin.socket === null) return problems;
  if (!/^\/(?:run|tmp|var)\/[^/]+\/[^/]/.test(admin.socket) || !isMountable(admin.socket)) {
    const message =
      'expected a file in a folder of its own below /run, /var or /tmp and no : or .., as the pod gets an empty folder there';
    report('admin.socket', admin.socket, message);
  } else {
    const folder = folderOf(admin.socket);
    const same = files.find(({ path }) => path === folder);
    if (same !== undefined) report('admin.socket', admin.socket, `expected another folder than ${same.key}`);
  }
  return problems;
}

/** Where kubelet, which shares the network of the pod, finds the admin endpoint that listens on this address. */
function probeHost({ family, octets, text }: IpAddress): string {
  if (octets.some((octet) => octet !== 0)) return text;
  return family === 'IPv4' ? '127.0.0.1' : '::1';
}

/** Why a file that is made for all nodes fits one only; empty where it fits all. */
function nodesOwn({ vrrp, admin }: Config): string[] {
  const host = admin.listen === null ? '127.0.0.1' : probeHost(admin.listen.address);
  return [
    ...(vrrp.priority === 'auto' ? [] : ['vrrp.priority is a number, and each node needs one of its own']),
    ...(/^(?:127\.|::1$)/.test(host) ? [] : [`admin.address is ${host}, which only one node has`]),
  ];
}

function heading(config: Config): string[] {
  const own = nodesOwn(config);
  const target = own.length === 0 ? 'every control-plane node, unchanged,' : 'that node';
  return [
    'kube-vrrp: a virtual IP, and behind it a TCP proxy to the API servers of all control-plane nodes.',
    ...(own.length === 0 ? [] : [`THIS FILE IS FOR ONE NODE: ${own.join('; ')}.`]),
    `Put it on ${target} as /etc/kubernetes/manifests/kube-vrrp.yaml: on the first node before \`kubeadm init\`, on the others before or right after \`kubeadm join\` (\`kube-vrrp kubeadm\` prints both lines).`,
    'kubelet starts the pod from the file alone and needs no API server for it. To change a setting or the image, change the file on one node after the other: kubelet stops the old pod, which hands the VIP over first.',
  ];
}

type ProbeTiming = { readonly periodSeconds: number; readonly failureThreshold: number };

function probe({ admin }: Config, path: string, timing: ProbeTiming): Tree {
  if (admin.listen === null) return undefined;
  const { address, port } = admin.listen;
  return {
    httpGet: { host: quoted(probeHost(address)), port, path },
    ...timing,
    // A node under full load answers late, and that is no reason to restart anything.
    timeoutSeconds: 5,
  };
}

const STARTUP_NOTE =
  'The probes ask the daemon about itself and nothing else: no sick API server, no lost election and no missing interface makes /livez fail, so none of them restarts this pod. Starting takes a second; the 2 minutes are for a node that boots with all its pods at once.';
const LIVENESS_NOTE =
  'Fails when a thread has not moved for 5 seconds. A wedged election needs no restart to lose the VIP: the kernel takes an address away that has not been renewed for 1.5 seconds, 2.3 in a handover, or longer while another program holds its network configuration lock. So a node that is merely slow gets its time.';
const READINESS_NOTE =
  'Ready: it listens, has checked the API servers and stands for election. For `kubectl get pods` and `kubectl wait` only; nothing depends on it.';
const NO_PROBES_NOTE =
  'admin.address is off, so there are no probes: kubelet restarts the pod when it ends, and a wedged one loses the VIP.';

function probes(config: Config): { readonly [key: string]: Tree } {
  return {
    startupProbe: noted(STARTUP_NOTE, probe(config, '/livez', { periodSeconds: 1, failureThreshold: 120 })),
    livenessProbe: noted(LIVENESS_NOTE, probe(config, '/livez', { periodSeconds: 5, failureThreshold: 3 })),
    readinessProbe: noted(
      READINESS_NOTE,
      probe(config, '/readyz', { periodSeconds: 5, failureThreshold: 2 }),
    ),
  };
}

const MEMORY_REQUEST_MEBIBYTES = 128;
/** Several times what an idle daemon has (some 120 MiB), for thousands of clients and their buffers in the kernel. */
const MEMORY_LIMIT_MEBIBYTES = 512;
const MEMORY_PER_FURTHER_WORKER_MEBIBYTES = 128;

const CPU_NOTE =
  'The weight that the kernel gives the pod while the processors are busy, as much as the API server has; idle it takes a tenth of this. Priorities count only inside of a pod: with 50m, advertisements were 400 ms late while other pods started.';

function resources({ proxy }: Config): Tree {
  const limit = MEMORY_LIMIT_MEBIBYTES + (proxy.workers - 1) * MEMORY_PER_FURTHER_WORKER_MEBIBYTES;
  return {
    requests: {
      cpu: noted(CPU_NOTE, '250m'),
      memory: `${MEMORY_REQUEST_MEBIBYTES}Mi`,
    },
    limits: noted(
      'Idle it takes some 120 MiB. The limit keeps a fault here from taking memory from etcd. No CPU limit: a throttled daemon sends its advertisements late, and late ones make the VIP move.',
      { memory: `${limit}Mi` },
    ),
  };
}

function securityContext({ proxy, admin }: Config): Tree {
  // Without it root may not listen there either, as the pod has the node's network.
  const needsLowPort = proxy.port < 1024 || (admin.listen !== null && admin.listen.port < 1024);
  return {
    runAsUser: noted(
      'Capabilities given to another user than root do not reach a container process. Of root only the user ID is left.',
      0,
    ),
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: {
      drop: ['ALL'],
      add: noted(
        'To add the VIP to the interface, to send and receive VRRP and ARP, and to run the election at raised priority (that one may go: advertisements are then late on a fully loaded node).',
        [
          'NET_ADMIN',
          'NET_RAW',
          'SYS_NICE',
          needsLowPort ? noted('For a port below 1024.', 'NET_BIND_SERVICE') : undefined,
        ],
      ),
    },
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

const SOCKET_VOLUME = 'control-socket';

function volumeMounts(config: Config): Tree[] {
  const { admin } = config;
  return [
    ...nodeFiles(config).map(({ volume, path }) => ({
      name: volume,
      mountPath: quoted(path),
      readOnly: true,
    })),
    admin.socket === null ? undefined : { name: SOCKET_VOLUME, mountPath: quoted(folderOf(admin.socket)) },
  ];
}

const ONLY_CA_NOTE = 'The one file that the pod gets from the node, and no private key.';
const CLIENT_PAIR_NOTE =
  'The files that the pod gets from the node. The one private key is that of the certificate that the checks show. The first file is the CA.';
const WAITING_NOTE =
  'While it is not there kubelet waits, and tries again after 0.5 s, 1 s, 2 s and so on (its log says "is not a file"). That fits: kubeadm writes it before it starts kubelet. Keep the type: FileOrCreate would leave an empty file, and no type at all a directory, in the place where kubeadm wants to write its CA.';

function volumes(config: Config): Tree[] {
  const { admin } = config;
  const files = nodeFiles(config);
  const note = `${files.length === 1 ? ONLY_CA_NOTE : CLIENT_PAIR_NOTE} ${WAITING_NOTE}`;
  return [
    ...files.map(({ volume, path }, index) => {
      const tree = { name: volume, hostPath: { path: quoted(path), type: 'File' } };
      return index === 0 ? noted(note, tree) : tree;
    }),
    admin.socket === null
      ? undefined
      : noted('For `kube-vrrp drain` and `undrain` in the pod; the root file system is read-only.', {
          name: SOCKET_VOLUME,
          emptyDir: { medium: 'Memory', sizeLimit: '1Mi' },
        }),
  ];
}

const ENVIRONMENT_NOTE =
  'The configuration. A static pod can refer to no ConfigMap or Secret, so it is in the pod itself: as variables and not as a file or flags, because commands run in the pod (`kubectl exec ... kube-vrrp status`) see them too. Defaults are left out; `kube-vrrp run --help` lists everything. A $ is written as $$.';

function environment(variables: readonly Variable[]): Tree {
  // Kubernetes replaces $(NAME) in a value; $$ stands for $.
  return variables.map(({ field, text }) =>
    noted(field.description, { name: field.env, value: quoted(text.replaceAll('$', '$$$$')) }),
  );
}

function container({ config, image, name }: StaticPodOptions, variables: readonly Variable[]): Tree {
  return {
    name: quoted(name),
    image: quoted(image),
    imagePullPolicy: noted('An image loaded by hand is as good as a pulled one.', 'IfNotPresent'),
    args: ['run'],
    env: noted(ENVIRONMENT_NOTE, environment(variables)),
    resources: resources(config),
    ...(config.admin.listen === null ? {} : probes(config)),
    securityContext:
      config.admin.listen === null ? noted(NO_PROBES_NOTE, securityContext(config)) : securityContext(config),
    volumeMounts: volumeMounts(config),
  };
}

const PRIORITY_NOTE =
  'Both, and these values, as kubeadm does for its own pods: kubelet looks up no class for a static pod, so it knows the number only from here (when it shuts a node down, pods of lower priority go first), while the API server refuses the mirror pod (not the pod itself) of a number without its class.';

function podTree(options: StaticPodOptions, variables: readonly Variable[]): { [key: string]: Tree } {
  const { config, name } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: quoted(name),
      namespace: 'kube-system',
      labels: {
        'app.kubernetes.io/name': 'kube-vrrp',
        'app.kubernetes.io/instance': quoted(name),
        'app.kubernetes.io/component': 'load-balancer',
        component: 'kube-vrrp',
        tier: 'control-plane',
      },
    },
    spec: {
      hostNetwork: noted(
        'The VIP and VRRP are of the node, and so is the proxy that listens on the VIP.',
        true,
      ),
      dnsPolicy: noted(
        'The resolver of the node: nothing here asks it, and the cluster has none yet.',
        'Default',
      ),
      enableServiceLinks: noted(
        'Services would add variables, and one called kube-vrrp would add some that look like configuration.',
        false,
      ),
      priorityClassName: noted(PRIORITY_NOTE, 'system-node-critical'),
      priority: 2_000_001_000,
      terminationGracePeriodSeconds: noted(
        'Time to hand the VIP over and to let clients finish before kubelet kills the pod; it ends as soon as that is done.',
        30,
      ),
      containers: [container(options, variables)],
      volumes: volumes(config),
    },
  };
}

/** The manifest as YAML, or why this configuration fits no static pod. Never throws. */
export function staticPod(options: StaticPodOptions): Parsed<string> {
  const variables = configVariables(options.config);
  const problems = [
    ...findOptionProblems(options),
    ...(variables.ok ? [] : variables.problems),
    ...findPodProblems(options.config, variables.ok ? variables.value : []),
  ];
  if (!variables.ok || problems.length > 0) return { ok: false, problems };
  return { ok: true, value: renderYaml(heading(options.config), podTree(options, variables.value)) };
}
