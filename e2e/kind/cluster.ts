/** A cluster by kind whose only way in is the VIP: made, asked, and removed. */
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { Status } from '../../src/daemon/status.ts';
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import { PollingClient, type Disruption } from '../kit/client.ts';
import { eventually } from '../kit/eventually.ts';
import { LabProcess } from '../kit/lab-process.ts';
import {
  CLUSTER,
  CONTAINERS,
  CONTROL_PLANES,
  ipv4Of,
  ipv6Of,
  LOAD_BALANCER,
  NETWORK,
  PORT,
  VIP_IPV4,
  VIP_IPV6,
  WORKER,
} from './addresses.ts';
import { attempt, run } from './command.ts';
import { Holders } from './holders.ts';
import type { Images } from './images.ts';
import { kindConfig, PRELOAD_DROP_IN, preloadDropIn } from './kind-config.ts';
import { Kubectl } from './kubectl.ts';
import { stopHaproxy } from './left-over-haproxy.ts';
import { createNetwork, removeNetwork } from './network.ts';
import { Node, POD_NAME } from './node.ts';
import { joinPodNetworks } from './pod-network.ts';
import { SETTLED_MS } from './settled.ts';
import { CACHED_PATH, KubectlWatch, watchPath } from './watch.ts';

/** The one cluster's files, among them the nodes' manifests folders, which outlive a run with --keep. */
const FOLDER = join(tmpdir(), CLUSTER);
/**
 * For etcd, in memory: what four nodes write when they start keeps a disk busy for a while, and kubeadm gives up on etcd's
 * answer after 2 s when it adds a member. The member counts nevertheless, and until kubernetes/kubernetes pull request
 * 127491 (1.32) was never started: the quorum is lost.
 */
const ETCD_FOLDER = join('/dev/shm', CLUSTER);
const CREATE_MS = 600_000;
/**
 * Five times the default: while nodes that share two cores start, each may get no processor for a second. What the default
 * makes of a loss is measured in the lab.
 */
const ADVERTISEMENT_INTERVAL = '500ms';
/** A watch that tells of a change later than this is worth a line. */
const LATE_WORD_MS = 2000;
/**
 * After its etcd was without a leader an API server of Kubernetes 1.20 may go without events for five minutes
 * (kubernetes/kubernetes issue 97294). Who watches there hears of nothing, whatever is between.
 */
const CACHED_MS = 400_000;
/** An API server whose watch cache is behind for longer than this is worth a line. */
const LATE_CACHE_MS = 15_000;
/** Every TCP socket with its process, its queues, and when bytes were last sent and received. */
const SOCKETS = 'ss --tcp --numeric --processes --info';
const STATUS = 'curl --silent --max-time 5 http://127.0.0.1:10480/status';
const DIRECT_WATCH_SECONDS = 3;
/** A TLS handshake with a real API server each, on a machine that runs three control planes: often enough for a figure. */
const CLIENT_RHYTHM = { intervalMs: 50, timeoutMs: 1000 };

export type ClusterOptions = {
  readonly images: Images;
  readonly say: (text: string) => void;
};

/** Of a command of kube-vrrp, without the dashes. */
export type Flags = Readonly<Record<string, string>>;

/** Why a Backup becomes the Active, as its log has it. */
export type MoveCause = 'active_silent' | 'active_resigned';

/** What those who use the cluster have seen. */
export type Effect = Disruption & {
  /** How often the IPv4 VIP has come to another node. */
  readonly moves: number;
  /** The longest time in one piece with a VIP in two kernels, ms. */
  readonly overlapMs: number;
};

type PodList = {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
};

/** Without what an earlier run left because nobody could stop it. */
async function removeLeftovers(): Promise<void> {
  for (const name of CONTROL_PLANES) await stopHaproxy({ name });
  await removeNetwork();
  // An etcd that is about to end may write for a moment yet.
  for (const folder of [FOLDER, ETCD_FOLDER])
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}

export class KindCluster {
  readonly controlPlanes: readonly Node[];
  readonly worker: Node;
  readonly images: Images;
  readonly holders = new Holders([VIP_IPV4, VIP_IPV6]);
  readonly say: (text: string) => void;
  /** Wall-clock time, before the cluster was made; null for one that was made by another run. */
  madeSince: Date | null = null;
  #kubectl: Kubectl | null = null;
  #client: PollingClient | null = null;
  #watch: KubectlWatch | null = null;

  constructor({ images, say }: ClusterOptions) {
    this.images = images;
    this.say = say;
    const makeNode = (name: string): Node =>
      new Node(
        { name, network: NETWORK, ipv4: ipv4Of(name), ipv6: ipv6Of(name) },
        join(FOLDER, name),
        join(ETCD_FOLDER, name),
      );
    this.controlPlanes = CONTROL_PLANES.map(makeNode);
    this.worker = makeNode(WORKER);
  }

  /**
   * Has kind make the cluster: `kubeadm init` on the first node, `kubeadm join` on the others, all through the VIP, with
   * nothing but the static pod of kube-vrrp in the manifests folders.
   */
  async create(): Promise<void> {
    await removeLeftovers();
    this.madeSince = new Date();
    await this.#create();
    await this.#connect();
  }

  /** Takes the cluster that an earlier run has kept. Throws when there is none. */
  async reuse(): Promise<void> {
    await this.lookAgain();
    await this.#connect();
  }

  get kubectl(): Kubectl {
    if (this.#kubectl === null) throw new Error('there is no cluster yet');
    return this.#kubectl;
  }

  get watch(): KubectlWatch {
    if (this.#watch === null) throw new Error('there is no cluster yet');
    return this.#watch;
  }

  get client(): PollingClient {
    if (this.#client === null) throw new Error('there is no cluster yet');
    return this.#client;
  }

  /** What `kube-vrrp manifest` prints for this cluster, from the image itself; `flags` beat the cluster's own. */
  manifest(flags: Flags = {}): Promise<string> {
    return this.#print('manifest', {
      image: this.images.product,
      'vrrp-advertisement-interval': ADVERTISEMENT_INTERVAL,
      ...flags,
    });
  }

  /** Waits until just one node, one that is accepted, has this VIP in its kernel. */
  async oneHolder(vip = VIP_IPV4, accept: (node: Node) => boolean = () => true): Promise<Node> {
    return eventually(
      () => {
        const names = this.holders.timeline.holders(vip);
        const node = this.controlPlanes.find(({ name }) => names.includes(name));
        return names.length === 1 && node !== undefined && accept(node) ? node : null;
      },
      {
        what: `one holder of ${vip}`,
        deadlineMs: SETTLED_MS,
        otherwise: () => this.holders.timeline.describe(vip, this.holders.timeline.lastAtMs - 60_000),
      },
    );
  }

  others(node: Node): Node[] {
    return this.controlPlanes.filter((other) => other !== node);
  }

  /** Names of the nodes that have a VIP now. */
  get holderNames(): readonly string[] {
    return this.vips.flatMap((vip) => this.holders.timeline.holders(vip));
  }

  /** Each is elected by itself, and may have a holder of its own. */
  get vips(): readonly string[] {
    return [VIP_IPV4, VIP_IPV6];
  }

  /** What kube-vrrp on this node says of itself; null while there is none. */
  async status(node: Node): Promise<Status | null> {
    const { exitCode, stdout } = await node.script(STATUS);
    return exitCode === 0 ? (JSON.parse(stdout) as Status) : null;
  }

  /**
   * Throws unless a VIP has come to another node since `since` (wall-clock time) for this cause, or for none if that is null.
   * Besides, an Active that fell silent may be followed by another at any time: where three control planes share a machine
   * it may get no processor for a while.
   */
  async expectMoves(since: Date, cause: MoveCause | null): Promise<void> {
    const promotions: string[] = [];
    for (const node of this.controlPlanes) {
      const log = await this.log(node, `--since-time=${since.toISOString()}`);
      promotions.push(...log.split('\n').filter((line) => line.includes('"to":"Active"')));
    }
    const isFor = (kind: string | null) => (line: string) => line.includes(`"cause":"${kind}"`);
    const wrong = promotions.find((line) => !isFor('active_silent')(line) && !isFor(cause)(line));
    if (wrong !== undefined) throw new Error(`the VIP moved for another cause than ${cause}: ${wrong}`);
    if (cause !== null && !promotions.some(isFor(cause)))
      throw new Error(`the VIP did not move for ${cause}`);
  }

  /** What kube-vrrp on this node has said, by kubectl. While kubelet replaces a pod, there is none to ask for a moment. */
  async log(node: Node, ...flags: readonly string[]): Promise<string> {
    const command = ['logs', '--namespace=kube-system', ...flags, `${POD_NAME}-${node.name}`];
    return eventually(() => this.kubectl.run(...command), {
      what: `kubectl ${command.join(' ')}`,
      deadlineMs: SETTLED_MS,
    });
  }

  /**
   * Waits until everything is as it was made: every node, etcd, API server and kube-vrrp is Ready, both VIPs have one
   * holder each, requests are answered, every API server knows of a change, and a watch through the VIP tells of it.
   */
  async settled(): Promise<void> {
    for (const vip of this.vips) await this.oneHolder(vip);
    let unready: string[] = [];
    await eventually(
      async () => {
        const now = await this.#unready();
        if (now.length > 0 && now.join() !== unready.join()) this.say(`not ready: ${now.join(', ')}`);
        unready = now;
        return unready.length === 0;
      },
      {
        what: 'every node, etcd, API server and kube-vrrp to be ready',
        deadlineMs: CACHED_MS,
        otherwise: () => `not ready: ${unready.join(', ')}`,
      },
    );
    await this.#watchTells();
    for (const vip of this.vips) await this.oneHolder(vip);
    // At last, so that an outage that began meanwhile has ended, and can be measured.
    await this.client.steady(monotonicMs(), SETTLED_MS);
  }

  /**
   * Waits until requests are answered again, and a watch through the VIP, begun before whatever happened, tells of a
   * change. `nodes` have API servers that are well.
   */
  async serves(nodes: readonly Node[]): Promise<void> {
    await this.client.steady(monotonicMs(), SETTLED_MS);
    await this.#watchTells(nodes);
  }

  /** Waits until the API servers of `nodes` know of a change, and a watch through the VIP tells of it. */
  async #watchTells(nodes: readonly Node[] = this.controlPlanes): Promise<void> {
    const change = await this.watch.change();
    for (const node of nodes) await this.#cached(node, change.value);
    const heardMs = await this.watch.hears(change);
    if (heardMs > LATE_WORD_MS) this.say(`the watch told of a change after ${(heardMs / 1000).toFixed(0)} s`);
  }

  /** What clients and the kernels have seen since `fromMs` (monotonicMs). */
  effect(fromMs: number): Effect {
    const { timeline } = this.holders;
    const alone = timeline.spans(VIP_IPV4, fromMs).filter(({ holders }) => holders.length === 1);
    const names = alone.map(({ holders: [name] }) => name);
    return {
      ...this.client.disruption(fromMs),
      moves: names.filter((name, index) => index > 0 && name !== names[index - 1]).length,
      overlapMs: this.overlapMs(fromMs),
    };
  }

  /** The longest time in one piece since `fromMs` (monotonicMs) with a VIP in two kernels, `node`'s among them, ms. */
  overlapMs(fromMs: number, node: Node | null = null): number {
    const { timeline } = this.holders;
    return Math.max(...this.vips.map((vip) => timeline.longestOverlapMs(vip, fromMs, node?.name)));
  }

  /** The same in full, for people. */
  describe(fromMs: number): string {
    const { timeline } = this.holders;
    return [this.client.describe(fromMs), ...this.vips.map((vip) => timeline.describe(vip, fromMs))].join(
      '\n',
    );
  }

  /** Looks again into all nodes, after one has been started. */
  async lookAgain(): Promise<void> {
    await this.holders.watch(this.controlPlanes);
  }

  /** What the machine has of the cluster, as files in `folder`: for people who were not there. */
  async collect(folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true });
    await attempt([this.images.kind, 'export', 'logs', '--name', CLUSTER, folder], { deadlineMs: 120_000 });
    const { timeline } = this.holders;
    writeFileSync(join(folder, 'holders.txt'), this.vips.map((vip) => timeline.describe(vip)).join('\n'));
    if (this.#client !== null) writeFileSync(join(folder, 'client.txt'), this.#client.describe(0));
    const script = `ip addr; ip route; ${STATUS}; ${SOCKETS}; crictl ps -a || true`;
    for (const node of this.controlPlanes) await node.report(script, folder);
    const { stdout: sockets } = await attempt(['sh', '-c', SOCKETS]);
    writeFileSync(join(folder, 'client-sockets.txt'), sockets);
    writeFileSync(join(folder, 'api-servers.txt'), await this.#watchedDirectly());
  }

  /** Ends what watches the cluster; the cluster stays. */
  async disconnect(): Promise<void> {
    await this.#watch?.stop();
    await this.#client?.stop();
    await this.holders.stop();
  }

  async remove(): Promise<void> {
    await this.disconnect();
    await removeLeftovers();
  }

  /** Waits until this node's API server has the value of the watched object in its watch cache. */
  async #cached(node: Node, value: string): Promise<void> {
    const fromMs = monotonicMs();
    await eventually(async () => (await this.#askDirectly(node, CACHED_PATH)).includes(value), {
      what: `the watch cache of the API server of ${node.name} to have a change`,
      deadlineMs: CACHED_MS,
    });
    const tookMs = monotonicMs() - fromMs;
    if (tookMs > LATE_CACHE_MS)
      this.say(
        `the API server of ${node.name} itself knew of a change after ${(tookMs / 1000).toFixed(0)} s only`,
      );
  }

  /** What each API server itself tells who watches the object of the watch, without the VIP. */
  async #watchedDirectly(): Promise<string> {
    const path = watchPath(DIRECT_WATCH_SECONDS);
    const asked = this.controlPlanes.map(async (node) => {
      const told = await this.#askDirectly(node, path).catch((error: Error) => error.message);
      return `${node.name}: ${told}\n`;
    });
    return (await Promise.all(asked)).join('');
  }

  /** The answer of one node's API server, without the VIP. Rejects when there is none. */
  async #askDirectly({ ipv4 }: Node, path: string): Promise<string> {
    return this.kubectl.run('get', `--raw=${path}`, `--server=https://${ipv4}:${API_SERVER_PORT}`);
  }

  async #create(): Promise<void> {
    const preloadFolder = join(FOLDER, 'preload');
    mkdirSync(preloadFolder, { recursive: true });
    for (const node of this.controlPlanes) node.makeFolders();
    writeFileSync(join(preloadFolder, PRELOAD_DROP_IN), preloadDropIn());
    const { product, productUpgrade } = this.images;
    await run([
      ...['docker', 'save', '--output', join(preloadFolder, 'kube-vrrp.tar')],
      ...[product, productUpgrade],
    ]);
    await createNetwork();
    const manifest = await this.manifest();
    for (const node of this.controlPlanes) node.putPod(manifest);
    const configFile = join(FOLDER, 'kind.yaml');
    const config = kindConfig({
      image: this.images.node,
      kubeadmConfig: await this.#print('kubeadm', { 'api-version': this.images.kubeadmApiVersion }),
      withoutNetwork: this.images.withoutNetwork,
      controlPlanes: this.controlPlanes,
      preloadFolder,
    });
    writeFileSync(configFile, config);
    await this.#runKind(configFile);
    await this.#checkOrder();
  }

  async #runKind(configFile: string): Promise<void> {
    const addresses = CONTAINERS.map((name) => `${name} ${ipv4Of(name)} ${ipv6Of(name)}`).join('\n');
    const created = run(
      [
        ...[this.images.kind, 'create', 'cluster', '--config', configFile, '--retain', '--verbosity', '1'],
        ...['--kubeconfig', join(FOLDER, 'kind-kubeconfig')],
      ],
      {
        deadlineMs: CREATE_MS,
        env: {
          KIND_EXPERIMENTAL_DOCKER_NETWORK: NETWORK,
          KIND_NODE_ADDRESSES: addresses,
          PATH: `${import.meta.dirname}:${process.env['PATH'] ?? ''}`,
        },
        onLine: (line) => {
          // The lines that kind marks as steps; the rest is kubeadm's, and is shown when it fails.
          const [, step] =
            /^ *[✓•] +(.*?)(?: *\.\.\.)?$/u.exec(line.replaceAll(/[^\w ✓•().,:-]/gu, '')) ?? [];
          if (step !== undefined) this.say(`kind: ${step}`);
        },
      },
    );
    // From the first moment on, as two holders during the joins would be a fault as well.
    const watching = (async () => {
      for (;;) {
        const pids = await Promise.all(this.controlPlanes.map((node) => node.pid().catch(() => 0)));
        if (pids.every((pid) => pid > 0)) break;
        await delay(200);
      }
      await this.lookAgain();
    })();
    await created;
    await watching;
    // kind insists on a load balancer. Whoever went through it would be cut off from here on.
    await run(['docker', 'stop', '--time', '0', LOAD_BALANCER]);
  }

  /** Throws when kubeadm has begun before the static pod was there. */
  async #checkOrder(): Promise<void> {
    for (const node of this.controlPlanes) {
      const placedMs = statSync(join(node.manifestsFolder, `${POD_NAME}.yaml`)).mtimeMs;
      const seconds = await node.exec('stat', '--format', '%Y', '/etc/kubernetes/pki/ca.crt');
      if (placedMs > Number(seconds) * 1000) {
        throw new Error(`the static pod came to ${node.name} after kubeadm had begun`);
      }
    }
  }

  /** What an administrator's machine does: takes admin.conf from a node, and uses it. */
  async #connect(): Promise<void> {
    const [first] = this.controlPlanes;
    if (first === undefined) throw new Error('the cluster has no control plane');
    const kubeconfig = join(FOLDER, 'admin.conf');
    const caFile = join(FOLDER, 'ca.crt');
    const program = join(FOLDER, 'kubectl');
    await run(['docker', 'cp', `${first.name}:/etc/kubernetes/admin.conf`, kubeconfig]);
    await run(['docker', 'cp', `${first.name}:/etc/kubernetes/pki/ca.crt`, caFile]);
    await run(['docker', 'cp', `${first.name}:/usr/bin/kubectl`, program]);
    this.#kubectl = new Kubectl([program], kubeconfig);
    if (this.images.withoutNetwork) await joinPodNetworks(this.kubectl, [...this.controlPlanes, this.worker]);
    const spawn = (options: { command: readonly string[]; onLine?: (line: string) => void }): LabProcess =>
      new LabProcess({ namespace: null, ...options });
    this.#client = new PollingClient({ spawn }, `https://${VIP_IPV4}:${PORT}/version`, caFile, CLIENT_RHYTHM);
    this.#watch = await KubectlWatch.start(this.kubectl);
  }

  #print(command: string, flags: Flags): Promise<string> {
    const peers = this.controlPlanes.map(({ ipv4 }) => ipv4).join(',');
    const all = Object.entries({ vip: this.vips.join(','), peers, ...flags });
    return run([
      ...['docker', 'run', '--rm', '--network', 'host', this.images.product, command],
      ...all.flatMap(([name, value]) => [`--${name}`, value]),
    ]);
  }

  /** Names of nodes and of pods of the control plane that are not Ready. */
  async #unready(): Promise<string[]> {
    const nodes = (await this.kubectl.get('nodes')) as PodList;
    const pods = (await this.kubectl.get(
      ...['pods', '--namespace=kube-system', '--selector=tier=control-plane'],
    )) as PodList;
    const isReady = ({ status }: PodList['items'][number]): boolean =>
      status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;
    // Without the scheduler and the controller manager: who loses a lease ends, and kubelet takes its time to start it.
    const expected = this.controlPlanes.flatMap(({ name }) =>
      [POD_NAME, 'etcd', 'kube-apiserver'].map((pod) => `${pod}-${name}`),
    );
    const ready = new Set(
      [...nodes.items, ...pods.items].filter(isReady).map(({ metadata }) => metadata.name),
    );
    const unready = [...this.controlPlanes.map(({ name }) => name), this.worker.name, ...expected].filter(
      (name) => !ready.has(name),
    );
    return [...unready, ...(await this.#silentApiServers()), ...(await this.#silentPods())];
  }

  /** Asked themselves: of a pod that kubelet has only begun to replace, Kubernetes says Ready for a while. */
  async #silentPods(): Promise<string[]> {
    const asked = this.controlPlanes.map(async (node) =>
      (await this.status(node)) === null ? [`kube-vrrp on ${node.name}`] : [],
    );
    return (await Promise.all(asked)).flat();
  }

  /**
   * Asked themselves, without the VIP: of a node that was lost, Kubernetes says Ready for another 40 s. /readyz includes
   * the API server's etcd, which answers with a quorum only.
   */
  async #silentApiServers(): Promise<string[]> {
    const asked = this.controlPlanes.map(async (node) => {
      const isReady = await this.#askDirectly(node, '/readyz').then(
        () => true,
        () => false,
      );
      return isReady ? [] : [`the API server or etcd of ${node.name}`];
    });
    return (await Promise.all(asked)).flat();
  }
}
