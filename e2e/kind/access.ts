/** What an administrator's machine has of the cluster: kubectl, a client and a watch, all through the VIP. */
import { join } from 'node:path';

import { PollingClient } from '../kit/client.ts';
import { LabProcess } from '../kit/lab-process.ts';
import { PORT, VIP_IPV4 } from './addresses.ts';
import { run } from './command.ts';
import { Kubectl } from './kubectl.ts';
import type { Node } from './node.ts';
import { KubectlWatch } from './watch.ts';

/**
 * A TLS handshake with a real API server each, on a machine that runs three control planes: often enough for a figure.
 */
const CLIENT_RHYTHM = { intervalMs: 50, timeoutMs: 1000 };

export class Access {
  readonly kubectl: Kubectl;
  readonly client: PollingClient;
  #watch: KubectlWatch | null = null;

  private constructor(kubectl: Kubectl, client: PollingClient) {
    this.kubectl = kubectl;
    this.client = client;
  }

  /** Takes admin.conf, the CA and kubectl from `node` into `folder`, and starts the client. The watch starts later. */
  static async begin(node: Node, folder: string): Promise<Access> {
    const kubeconfig = join(folder, 'admin.conf');
    const caFile = join(folder, 'ca.crt');
    const program = join(folder, 'kubectl');
    await run(['docker', 'cp', `${node.name}:/etc/kubernetes/admin.conf`, kubeconfig]);
    await run(['docker', 'cp', `${node.name}:/etc/kubernetes/pki/ca.crt`, caFile]);
    await run(['docker', 'cp', `${node.name}:/usr/bin/kubectl`, program]);
    const kubectl = new Kubectl([program], kubeconfig);
    const spawn = (options: { command: readonly string[]; onLine?: (line: string) => void }): LabProcess =>
      new LabProcess({ namespace: null, ...options });
    const client = new PollingClient({ spawn }, `https://${VIP_IPV4}:${PORT}/version`, caFile, CLIENT_RHYTHM);
    return new Access(kubectl, client);
  }

  /** Throws before `startWatch`. */
  get watch(): KubectlWatch {
    if (this.#watch === null) throw new Error('nothing in the cluster is watched yet');
    return this.#watch;
  }

  /** Watches an object through the VIP from now on. Rejects when that cannot be made in minutes. */
  async startWatch(): Promise<void> {
    this.#watch = await KubectlWatch.start(this.kubectl);
  }

  /** Ends the client and the watch. */
  async end(): Promise<void> {
    await this.#watch?.stop();
    await this.client.stop();
  }
}
