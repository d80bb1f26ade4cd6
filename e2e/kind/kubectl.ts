/** kubectl as an administrator's machine has it: with the kubeconfig that kubeadm wrote, so through the VIP. */
import { run } from './command.ts';

/** A request that has no answer after so long is an answer. */
const REQUEST_TIMEOUT = '--request-timeout=10s';

/** In a machine, as its administrator has it. */
export function kubectlIn(machine: string): Kubectl {
  return new Kubectl(['docker', 'exec', machine, 'kubectl'], '/etc/kubernetes/admin.conf');
}

export class Kubectl {
  readonly #program: readonly string[];
  readonly #kubeconfig: string;

  /** `program` may be a command that runs kubectl elsewhere. */
  constructor(program: readonly string[], kubeconfig: string) {
    this.#program = program;
    this.#kubeconfig = kubeconfig;
  }

  /** The whole command, for a process that lasts. */
  command(...args: readonly string[]): string[] {
    return [...this.#program, `--kubeconfig=${this.#kubeconfig}`, ...args];
  }

  /** Rejects when kubectl does. */
  run(...args: readonly string[]): Promise<string> {
    return run(this.command(...args, REQUEST_TIMEOUT));
  }

  /** `-o json`, parsed. */
  async get(...args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.run('get', ...args, '--output=json'));
  }
}
