/** kube-vrrp's command line as a process of its own, for tests. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The entry point; Node runs it as it is. */
export const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const DEADLINE_MS = 30_000;

export type Outcome = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** The variables that every program here may have: none that kube-vrrp reads. */
const INHERITED = ['PATH', 'NODE_COMPILE_CACHE'];

/** Runs a program to its end; its environment has `INHERITED` and `env`. The code is -1 when it had to be killed. */
export function execute(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { ...inheritedEnv(), ...env }, timeout: DEADLINE_MS };
    const child = execFile(program, args, options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

/** Runs `kube-vrrp` with these arguments. */
export function kubeVrrp(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  return execute(process.execPath, [MAIN, ...args], env);
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    INHERITED.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
