/** `kube-vrrp manifest`. */
import { VERSION } from '../daemon/version.ts';
import { findOptionProblems, staticPod } from '../kubeadm/static-pod.ts';
import type { Invocation } from './arguments.ts';
import { loadConfig, reportProblems } from './load-config.ts';
import { print } from './terminal.ts';

const DEFAULT_IMAGE = `kube-vrrp:${VERSION}`;
const DEFAULT_NAME = 'kube-vrrp';

function textOption({ options }: Invocation, name: string, fallback: string): string {
  const value = options.get(name);
  return typeof value === 'string' ? value : fallback;
}

/** Prints the static pod for this configuration; 2 when the configuration is wrong or fits no static pod. */
export async function manifestCommand(invocation: Invocation): Promise<number> {
  const image = textOption(invocation, 'image', DEFAULT_IMAGE);
  const name = textOption(invocation, 'name', DEFAULT_NAME);
  const config = await loadConfig(invocation);
  if (!config.ok) {
    return reportProblems('manifest', [...config.problems, ...findOptionProblems({ image, name })]);
  }
  const pod = staticPod({ config: config.value, image, name });
  if (!pod.ok) return reportProblems('manifest', pod.problems);
  print(pod.value.trimEnd());
  return 0;
}
