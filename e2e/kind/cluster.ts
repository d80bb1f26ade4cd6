/** A cluster by kind whose only way in is the VIP: its nodes, and what is asked of them. */
import type { Status } from '../../src/daemon/status.ts';
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import type { PollingClient } from '../kit/client.ts';
import { eventually } from '../kit/eventually.ts';
import { Access } from './access.ts';
import { CONTROL_PLANES, VIP_IPV4, VIP_IPV6, WORKER } from './addresses.ts';
import { run } from './command.ts';
import { Holders } from './holders.ts';
import type { Images } from './images.ts';
import type { Kubectl } from './kubectl.ts';
import { FOLDER, makeCluster, nodeNamed, removeCluster } from './making.ts';
import { type Node, POD_NAME } from './node.ts';
import { joinPodNetworks } from './pod-network.ts';
import { SETTLED_MS } from './settled.ts';
import type { KubectlWatch } from './watch.ts';

/**
 * Five times the default: while nodes that share two cores start, each may get no processor for a second. What the
 * default makes of a loss is measured in the lab.
 */
const ADVERTISEMENT_INTERVAL = '500ms';
/** Prints what kube-vrrp of the node it runs on reports. */
export const STATUS = 'curl --silent --max-time 5 http://127.0.0.1:10480/status';

export type ClusterOptions = {
  readonly images: Images;
  readonly say: (text: string) => void;
};

/** Of a command of kube-vrrp, without the dashes. */
export type Flags = Readonly<Record<string, string>>;

export class KindCluster {
  readonly controlPlanes: readonly Node[];
  readonly worker: Node;
  readonly images: Images;
  readonly holders = new Holders([VIP_IPV4, VIP_IPV6]);
  readonly say: (text: string) => void;
  /** Wall-clock time, before the cluster was made; null for one that was made by another run. */
  madeSince: Date | null = null;
  #access: Access | null = null;

  constructor({ images, say }: ClusterOptions) {
    this.images = images;
    this.say = say;
    this.controlPlanes = CONTROL_PLANES.map(nodeNamed);
    this.worker = nodeNamed(WORKER);
  }

  /**
   * Has kind make the cluster: `kubeadm init` on the first node, `kubeadm join` on the others, all through the VIP,
   * with nothing but the static pod of kube-vrrp in the manifests folders.
   */
  async create(): Promise<void> {
    await removeCluster();
    this.madeSince = new Date();
    await makeCluster({
      images: this.images,
      controlPlanes: this.controlPlanes,
      manifest: await this.manifest(),
      kubeadmConfig: await this.#print('kubeadm', { 'api-version': this.images.kubeadmApiVersion }),
      say: this.say,
      // From the first moment on, as two holders during the joins would be a fault as well.
      onRunning: () => this.lookAgain(),
    });
    await this.#connect();
  }

  /** Takes the cluster that an earlier run has kept. Throws when there is none. */
  async reuse(): Promise<void> {
    await this.lookAgain();
    await this.#connect();
  }

  /** Null until the cluster is made. */
  get access(): Access | null {
    return this.#access;
  }

  get kubectl(): Kubectl {
    return this.#begun.kubectl;
  }

  get client(): PollingClient {
    return this.#begun.client;
  }

  get watch(): KubectlWatch {
    return this.#begun.watch;
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
   * What kube-vrrp on this node has said, by kubectl. While kubelet replaces a pod, there is none to ask for a moment.
   */
  async log(node: Node, ...flags: readonly string[]): Promise<string> {
    const command = ['logs', '--namespace=kube-system', ...flags, `${POD_NAME}-${node.name}`];
    return eventually(() => this.kubectl.run(...command), {
      what: `kubectl ${command.join(' ')}`,
      deadlineMs: SETTLED_MS,
    });
  }

  /** Looks again into all nodes, after one has been started. */
  async lookAgain(): Promise<void> {
    await this.holders.watch(this.controlPlanes);
  }

  /** Ends what watches the cluster; the cluster stays. */
  async disconnect(): Promise<void> {
    await this.#access?.end();
    await this.holders.stop();
  }

  async remove(): Promise<void> {
    await this.disconnect();
    await removeCluster();
  }

  /** The answer of one node's API server, without the VIP. Rejects when there is none. */
  async askDirectly({ ipv4 }: Node, path: string): Promise<string> {
    return this.kubectl.run('get', `--raw=${path}`, `--server=https://${ipv4}:${API_SERVER_PORT}`);
  }

  get #begun(): Access {
    if (this.#access === null) throw new Error('there is no cluster yet');
    return this.#access;
  }

  async #connect(): Promise<void> {
    const [first] = this.controlPlanes;
    if (first === undefined) throw new Error('the cluster has no control plane');
    const access = await Access.begin(first, FOLDER);
    this.#access = access;
    if (this.images.withoutNetwork)
      await joinPodNetworks(access.kubectl, [...this.controlPlanes, this.worker]);
    await access.startWatch();
  }

  #print(command: string, flags: Flags): Promise<string> {
    const peers = this.controlPlanes.map(({ ipv4 }) => ipv4).join(',');
    const all = Object.entries({ vip: this.vips.join(','), peers, ...flags });
    return run([
      ...['docker', 'run', '--rm', '--network', 'host', this.images.product, command],
      ...all.flatMap(([name, value]) => [`--${name}`, value]),
    ]);
  }
}
