/** A daemon that waits, on a host of its own: for the CA's certificate, until the test writes it. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { type Running, startKubeVrrpBeside, startKubeVrrpOn } from './own-network.ts';
import { until } from './until.ts';

/** Starts of Node, on a busy machine. */
export const DEADLINE_MS = 60_000;
export const NETWORK = { setUp: ['ip address add 10.0.0.1/24 dev eth0'] };

type Line = { readonly level: string; readonly msg: string; readonly event: string };

/**
 * `nodeFlags` are of Node, `flags` of the daemon, after those that it needs. With `beside` it runs on the host of
 * another daemon.
 */
export function startDaemon(
  context: TestContext,
  nodeFlags: readonly string[] = [],
  flags: readonly string[] = [],
  beside: Running | null = null,
) {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-daemon-'));
  const args = ['run', '--vip=10.0.0.100', '--peers=10.0.0.1,10.0.0.2'];
  const config = join(folder, 'config.yaml');
  writeFileSync(config, '{}\n');
  const caFile = join(folder, 'ca.crt');
  const socket = join(folder, 'control.sock');
  const paths = [`--config=${config}`, `--health-ca-file=${caFile}`, `--admin-socket=${socket}`];
  const words = [...args, ...paths, ...flags];
  const daemon =
    beside === null ? startKubeVrrpOn(NETWORK, words, nodeFlags) : startKubeVrrpBeside(beside, words);
  const lines: Line[] = [];
  let complaints = '';
  createInterface({ input: daemon.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line));
  daemon.stderr.on('data', (data: Buffer) => (complaints += data.toString()));
  endWith(context, daemon, folder);
  const describe = (): string => `${JSON.stringify(lines)}\n${complaints}\n${daemon.exitCode}`;
  const logged = (event: string): Promise<void> =>
    until(
      () => lines.some((line) => line.event === event),
      () => `a line of ${event}: ${describe()}`,
      DEADLINE_MS,
    );
  return { daemon, lines, logged, describe, config, caFile, socket };
}

/** Ends the process with the test, and removes the folder. */
export function endWith(context: TestContext, process: Running, folder?: string): void {
  context.after(async () => {
    if (process.exitCode === null && process.signalCode === null) {
      process.kill('SIGKILL');
      await once(process, 'exit');
    }
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });
}
