/** A process in a lab: started inside a namespace, dead with the lab, its output taken line by line. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export type ProcessExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type LabProcessOptions = {
  /** Null: the namespace of the lab's own process. */
  readonly namespace: string | null;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Capabilities that the process shall not have, such as `net_raw`. */
  readonly withoutCapabilities?: readonly string[];
  /** Opens the channel for `send`. The command must be node. */
  readonly ipc?: boolean;
  readonly onLine?: (line: string) => void;
};

export class LabProcess {
  /** Resolves when the process has ended and all its output has been read. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  #exit: ProcessExit | null = null;
  #stderr = '';

  constructor(options: LabProcessOptions) {
    const command = wrap(options);
    // setpriv and ip replace themselves by the command, so the pid is the command's own and a signal hits it.
    this.#child = spawn(command[0] ?? '', command.slice(1), {
      env: { ...process.env, NODE_OPTIONS: '', ...options.env },
      // A session of its own: Ctrl-C on the terminal is for the lab's owner, who decides what happens to whom.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', ...(options.ipc === true ? (['ipc'] as const) : [])],
    });
    this.#child.stdin?.on('error', () => {
      // Nobody reads any more; the exit tells.
    });
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => options.onLine?.(line));
    }
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.exited = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start');
    return this.#child.pid;
  }

  /** Null while the process runs. */
  get exit(): ProcessExit | null {
    return this.#exit;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a signal; nothing happens when the process has ended. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends a message to a process started with `ipc`. */
  send(message: object): void {
    this.#child.send(message);
  }

  writeLine(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Kills the process, also a stopped one, and waits for its end. */
  async kill(): Promise<void> {
    if (this.#exit === null) this.#child.kill('SIGKILL');
    await this.exited;
  }
}

function wrap({ namespace, command, withoutCapabilities = [] }: LabProcessOptions): string[] {
  const enter = namespace === null ? [] : ['ip', 'netns', 'exec', namespace];
  const drop = withoutCapabilities.map((name) => `-${name}`).join(',');
  const restrict = drop === '' ? [] : ['setpriv', '--bounding-set', drop, '--inh-caps', drop, '--'];
  // The kernel kills the process when its owner dies, whatever the owner died of (prctl(2), PR_SET_PDEATHSIG).
  return ['setpriv', '--pdeathsig', 'SIGKILL', '--', ...enter, ...restrict, ...command];
}
