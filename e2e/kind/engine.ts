/** The Docker engine that the nodes run in: the machine's own, or one that is started for the suite alone. */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { eventually } from '../kit/eventually.ts';
import { attempt } from './command.ts';

const RUNTIME = 'runc-without-sys-resource';
const RUN_FOLDER = '/run/kube-vrrp-e2e';
const SOCKET = join(RUN_FOLDER, 'docker.sock');
const PID_FILE = join(RUN_FOLDER, 'docker.pid');
const START_MS = 60_000;
const STOP_MS = 60_000;
const PRUNE_MS = 300_000;
/** So long an image without a name may still save the next build some work. */
const UNNAMED_FOR = '24h';
/** Of CapBnd in proc(5). */
const CAP_SYS_RESOURCE = 24n;

/** Where images, builds and downloads stay between runs, outside the repository. */
export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kube-vrrp');
}

function hasSysResource(): boolean {
  const [, hex = '0'] = /^CapBnd:\s+([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${hex}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

/**
 * `--bridge=none`, no iptables, no forwarding: the engine makes the bridge of the suite's own network and changes
 * nothing else on the machine, so nothing is left behind when it ends.
 */
function engineCommand(): string[] {
  const runtime = join(import.meta.dirname, RUNTIME);
  return [
    'dockerd',
    `--host=unix://${SOCKET}`,
    `--data-root=${join(cacheFolder(), 'docker')}`,
    `--exec-root=${join(RUN_FOLDER, 'exec')}`,
    `--pidfile=${PID_FILE}`,
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    ...(hasSysResource() ? [] : [`--add-runtime=${RUNTIME}=${runtime}`, `--default-runtime=${RUNTIME}`]),
  ];
}

async function isAnswering(): Promise<boolean> {
  const { exitCode } = await attempt(['docker', 'info'], { deadlineMs: 10_000 });
  return exitCode === 0;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

export class Engine {
  /** Null for the machine's own, which is not the suite's to stop. */
  readonly #pid: number | null;

  private constructor(pid: number | null) {
    this.#pid = pid;
  }

  /** Takes the engine that `docker` reaches, or starts one. Throws where neither works. */
  static async find(say: (text: string) => void): Promise<Engine> {
    const own = `unix://${SOCKET}`;
    if (process.env['DOCKER_HOST'] !== own && (await isAnswering())) return new Engine(null);
    process.env['DOCKER_HOST'] = own;
    // Left by a run with --keep.
    if (await isAnswering()) return new Engine(Number(readFileSync(PID_FILE, 'utf8')));
    if (process.getuid?.() !== 0) {
      throw new Error('no Docker engine answers, and only root can start one: start it, or run this as root');
    }
    mkdirSync(RUN_FOLDER, { recursive: true });
    const logFile = join(RUN_FOLDER, 'docker.log');
    const log = openSync(logFile, 'w');
    say('starting a Docker engine for the suite alone');
    const [program = '', ...args] = engineCommand();
    // A session of its own: Ctrl-C is for the suite, which removes the cluster before the engine.
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] });
    let failure = '';
    child.on('error', (error) => (failure = error.message));
    await eventually(async () => failure !== '' || child.exitCode !== null || (await isAnswering()), {
      what: 'the Docker engine',
      deadlineMs: START_MS,
      otherwise: () => readFileSync(logFile, 'utf8'),
    });
    if (failure !== '' || child.exitCode !== null) {
      throw new Error(`dockerd does not start: ${failure}\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
    }
    return new Engine(child.pid ?? null);
  }

  /**
   * Removes what builds of yesterday and before have left in the suite's own engine: after each change of the source it
   * is another gigabyte. The images of another engine are not the suite's to remove.
   */
  async removeOldBuilds(say: (text: string) => void): Promise<void> {
    if (this.#pid === null) return;
    const command = ['docker', 'image', 'prune', '--force', '--filter', `until=${UNNAMED_FOR}`];
    const { exitCode, stderr } = await attempt(command, { deadlineMs: PRUNE_MS });
    if (exitCode !== 0)
      say(`cannot remove old builds from ${cacheFolder()}, which will grow: ${stderr.trim()}`);
  }

  /** Ends the engine if the suite has started it, this time or another. */
  async stop(): Promise<void> {
    const pid = this.#pid;
    if (pid === null || !isRunning(pid)) return;
    process.kill(pid, 'SIGTERM');
    try {
      await eventually(() => !isRunning(pid), { what: 'the Docker engine to end', deadlineMs: STOP_MS });
    } catch {
      process.kill(pid, 'SIGKILL');
    }
  }
}
