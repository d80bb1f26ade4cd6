/** The right to make network namespaces: root's, or that of a user namespace of our own. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';

import { newLabName } from './ownership.ts';

/**
 * In the environment: `entered` in a new user namespace, `ready` once its /run/netns is there; children inherit that.
 */
const USER_NAMESPACE = 'LAB_USER_NAMESPACE';
const UNSHARE = ['--user', '--net', '--mount', '--map-root-user', '--'];

function run(command: string, ...args: string[]): string | null {
  try {
    execFileSync(command, args, { stdio: 'pipe' });
    return null;
  } catch (error) {
    const stderr = (error as { stderr?: Buffer | null }).stderr?.toString().trim();
    return stderr === undefined || stderr === '' ? (error as Error).message : stderr;
  }
}

/** Null when a namespace could be made (and removed again); otherwise why not. */
function namespaceObstacle(): string | null {
  const name = `${newLabName()}-probe`;
  return run('ip', 'netns', 'add', name) ?? run('ip', 'netns', 'del', name);
}

/**
 * A place for the names of namespaces that only this user namespace sees. /run itself where /run/netns is not there.
 */
function mountNamespaceNames(): string | null {
  const obstacle = run('mount', '-t', 'tmpfs', 'tmpfs', existsSync('/run/netns') ? '/run/netns' : '/run');
  if (obstacle !== null) return obstacle;
  mkdirSync('/run/netns', { recursive: true });
  process.env[USER_NAMESPACE] = 'ready';
  return null;
}

/** Runs this same program inside a user namespace and ends with its exit status. */
function runAgainInUserNamespace(): Promise<never> {
  // The program dies with us, whatever kills us: a lab without an owner would stay.
  const program = ['setpriv', '--pdeathsig', 'SIGTERM', '--', process.execPath, ...process.execArgv];
  const child = spawn('unshare', [...UNSHARE, ...program, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [USER_NAMESPACE]: 'entered' },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((_resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => process.exit(code ?? 1));
  });
}

/**
 * Returns when this process may make network namespaces. Without root it runs the whole program again inside a user
 * namespace, so call it before anything else. Throws, in one sentence, where neither is possible: a lab test never
 * passes by being skipped.
 */
export async function enterLab(): Promise<void> {
  const state = process.env[USER_NAMESPACE];
  const isInside = state !== undefined;
  const obstacle = (state === 'entered' ? mountNamespaceNames() : null) ?? namespaceObstacle();
  if (obstacle === null) return;
  const userNamespaceObstacle = isInside ? obstacle : run('unshare', ...UNSHARE, 'true');
  if (userNamespaceObstacle === null) await runAgainInUserNamespace();
  throw new Error(
    `the lab needs root, or a kernel that lets a user make user namespaces (sysctl ` +
      `kernel.unprivileged_userns_clone=1 or user.max_user_namespaces), and this machine gives neither: ` +
      `${obstacle}; ${userNamespaceObstacle}`,
  );
}
