/** A machine of the cluster: a container, and what can happen to it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '../kit/eventually.ts';
import { attempt, run, type CommandResult } from './command.ts';

export type MachineOptions = {
  readonly name: string;
  readonly network: string;
  readonly ipv4: string;
  readonly ipv6: string;
};

export class Machine {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly network: string;

  constructor({ name, network, ipv4, ipv6 }: MachineOptions) {
    this.name = name;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    this.network = network;
  }

  /** Runs a command in the machine; resolves with its standard output, rejects when it fails. */
  exec(...command: readonly string[]): Promise<string> {
    return run(['docker', 'exec', this.name, ...command]);
  }

  /** Runs a shell script in the machine, from /root. Does not reject for its exit code. */
  script(text: string, deadlineMs?: number): Promise<CommandResult> {
    // Not through standard input, which a command of the script may read.
    const shell = ['bash', '-euo', 'pipefail', '-c', text];
    return attempt(
      ['docker', 'exec', '--workdir', '/root', this.name, ...shell],
      deadlineMs === undefined ? {} : { deadlineMs },
    );
  }

  /** Writes all that a script says into a file of the machine's name in `folder`. */
  async report(text: string, folder: string): Promise<void> {
    const { stdout, stderr } = await this.script(text);
    writeFileSync(join(folder, `${this.name}.txt`), stdout + stderr);
  }

  /** Of its first process, as the host sees it; 0 while the machine does not run. */
  async pid(): Promise<number> {
    return Number(await run(['docker', 'inspect', '--format', '{{.State.Pid}}', this.name]));
  }

  /** As when a machine loses its power. */
  kill(): Promise<string> {
    return run(['docker', 'kill', this.name]);
  }

  start(): Promise<string> {
    return run(['docker', 'start', this.name]);
  }

  /**
   * As when a hypervisor stops a virtual machine. cgroup v1 may fail to, and undoes it, where processes come and go.
   */
  pause(): Promise<string> {
    return eventually(() => run(['docker', 'pause', this.name]), { what: `${this.name} to be paused` });
  }

  unpause(): Promise<string> {
    return run(['docker', 'unpause', this.name]);
  }

  /** Takes the machine's interface away. */
  disconnect(): Promise<string> {
    return run(['docker', 'network', 'disconnect', this.network, this.name]);
  }

  /** Gives the machine an interface again, with the same addresses and another name. */
  connect(): Promise<string> {
    const addresses = ['--ip', this.ipv4, '--ip6', this.ipv6];
    return run(['docker', 'network', 'connect', ...addresses, this.network, this.name]);
  }
}
