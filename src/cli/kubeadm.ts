/** `kube-vrrp kubeadm`. */
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import { API_VERSIONS, kubeadmConfig, type ApiVersion } from '../kubeadm/kubeadm-config.ts';
import type { Invocation } from './arguments.ts';
import { loadConfig, reportProblems } from './load-config.ts';
import { print } from './terminal.ts';

function readApiVersion({ options }: Invocation): ApiVersion | ConfigProblem {
  const given = options.get('api-version') ?? API_VERSIONS[0];
  const version = API_VERSIONS.find((known) => known === given);
  const message = `expected ${API_VERSIONS.slice(0, -1).join(', ')} or ${API_VERSIONS.at(-1)}`;
  return version ?? { path: '--api-version', value: quoteValue(given), message, where: null };
}

/** Prints the ClusterConfiguration for kubeadm init, with the commands as comments; 2 when something given is wrong. */
export async function kubeadmCommand(invocation: Invocation): Promise<number> {
  const version = readApiVersion(invocation);
  const config = await loadConfig(invocation);
  const problems = [...(config.ok ? [] : config.problems), ...(typeof version === 'string' ? [] : [version])];
  if (!config.ok || typeof version !== 'string') return reportProblems('kubeadm', problems);
  print(kubeadmConfig(config.value, version).trimEnd());
  return 0;
}
