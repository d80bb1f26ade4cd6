/** The images of a cluster: pulled where that is possible, built from Debian's packages where not. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { attempt, run } from './command.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD_MS = 1_800_000;
const PULL_MS = 300_000;

export type Images = {
  /** Path of the program. */
  readonly kind: string;
  readonly product: string;
  /** The same as `product` under another name and with another label, to upgrade to. */
  readonly productUpgrade: string;
  readonly node: string;
  readonly kubernetesVersion: string;
  readonly kubeadmApiVersion: 'v1beta3' | 'v1beta2';
  /** kind's own network plug-in is not in the node image. */
  readonly withoutNetwork: boolean;
};

type Say = (text: string) => void;

/** Runs a script of the repository and returns what it printed last on its standard output. */
function script(path: string, say: Say, ...args: readonly string[]): Promise<string> {
  return run(['bash', join(ROOT, path), ...args], {
    deadlineMs: BUILD_MS,
    onLine: (line) => {
      if (/^(?:setup|images|kubernetes|kind): /.test(line)) say(line);
    },
  });
}

async function hasImage(name: string): Promise<boolean> {
  return (await attempt(['docker', 'image', 'inspect', name])).exitCode === 0;
}

async function kindProgram(say: Say): Promise<string> {
  const { exitCode, stdout } = await attempt(['bash', '-c', 'command -v kind']);
  return exitCode === 0 ? stdout.trim() : join(await script('e2e/kind/fetch-kind.sh', say), 'kind');
}

/** kind's own node image, if KIND_NODE_IMAGE names one or the engine can pull it; else the one made here. */
async function nodeImage(say: Say): Promise<{ name: string; withoutNetwork: boolean }> {
  const wanted = process.env['KIND_NODE_IMAGE'];
  if (wanted !== undefined) {
    if (!(await hasImage(wanted))) await run(['docker', 'pull', '--quiet', wanted], { deadlineMs: PULL_MS });
    return { name: wanted, withoutNetwork: false };
  }
  return { name: await script('images/kind-node/build.sh', say), withoutNetwork: true };
}

/** From the image itself: kind writes the version there, and the suite does what that version needs. */
async function versionOf(image: string): Promise<string> {
  return run(['docker', 'run', '--rm', '--network', 'none', '--entrypoint', 'cat', image, '/kind/version']);
}

/** As kind chooses it by the version: v1beta3 from 1.23 on. */
function kubeadmApiVersion(kubernetesVersion: string): Images['kubeadmApiVersion'] {
  const minor = Number(/^v1\.(\d+)\./.exec(kubernetesVersion)?.[1]);
  if (!Number.isInteger(minor)) throw new Error(`${kubernetesVersion} is not the version of a Kubernetes`);
  return minor >= 23 ? 'v1beta3' : 'v1beta2';
}

async function upgradeOf(product: string): Promise<string> {
  const name = `${product}-upgraded`;
  const input = `FROM ${product}\nLABEL io.kube-vrrp.e2e=upgraded\n`;
  await run(['docker', 'build', '--quiet', '--tag', name, '-'], { input, env: { DOCKER_BUILDKIT: '0' } });
  return name;
}

/** Builds or finds everything; minutes on a new machine, seconds after that. */
export async function prepareImages(say: Say): Promise<Images> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const product = `kube-vrrp:${version}`;
  say(`building ${product}`);
  await script('images/build.sh', say, product);
  const kind = await kindProgram(say);
  const node = await nodeImage(say);
  const kubernetesVersion = await versionOf(node.name);
  return {
    kind,
    product,
    productUpgrade: await upgradeOf(product),
    node: node.name,
    kubernetesVersion,
    kubeadmApiVersion: kubeadmApiVersion(kubernetesVersion),
    withoutNetwork: node.withoutNetwork,
  };
}
