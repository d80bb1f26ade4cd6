/** `kube-vrrp version`. */
import { VERSION } from '../daemon/version.ts';
import type { Invocation } from './arguments.ts';
import { reportProblems } from './load-config.ts';
import { print } from './terminal.ts';

/** Prints the versions of kube-vrrp and of the Node that runs it. */
export function versionCommand({ options, problems }: Invocation): number {
  if (problems.length > 0) return reportProblems('version', problems);
  const nodejs = process.versions.node;
  if (options.has('json')) print(JSON.stringify({ version: VERSION, nodejs, arch: process.arch }));
  else print(`kube-vrrp ${VERSION} (Node ${nodejs})`);
  return 0;
}
