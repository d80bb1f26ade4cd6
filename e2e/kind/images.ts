/** The images of a cluster: pulled where that is possible, built where not. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { API_VERSIONS, FIRST_MINOR, type ApiVersion } from '../../src/kubeadm/kubeadm-config.ts';
import { WORKER } from './addresses.ts';
import { attempt, run } from './command.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD_MS = 1_800_000;
const PULL_MS = 300_000;
/** Long enough for an image that can be pulled, and all that a run loses where none can. */
const TRIED_PULL_MS = 120_000;

export type Images = {
  /** Path of the program. */
  readonly kind: string;
  readonly product: string;
  /** The same as `product` under another name and with another label, to upgrade to. */
  readonly productUpgrade: string;
  readonly node: string;
  readonly kubernetesVersion: string;
  readonly kubeadmApiVersion: ApiVersion;
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

/**
 * The node image that this kind takes when it is told none, with its digest. kind has no command that tells it, but has
 * it in its program in one piece. Null where that is something else, such as a script that starts kind.
 */
function defaultNodeImage(kind: string): string | null {
  const [name] = /kindest\/node:v[\d.]+@sha256:[\da-f]{64}/.exec(readFileSync(kind, 'latin1')) ?? [null];
  return name;
}

const BUILD_NODE_IMAGE = 'images/kind-node/build.sh';
/** Of what that script makes, which has a hash in its name. */
const OWN_NODE_IMAGE = 'kube-vrrp-kind-node';

/** Whether the engine has the image after this. */
async function canPull(name: string, say: Say): Promise<boolean> {
  say(`trying to pull ${name}, for ${TRIED_PULL_MS / 1000} s at most`);
  const { exitCode } = await attempt(['docker', 'pull', '--quiet', name], { deadlineMs: TRIED_PULL_MS });
  return exitCode === 0;
}

/** Whether an earlier run has made a node image, as there was no way to kind's own. */
async function hasMadeOne(): Promise<boolean> {
  return (await run(['docker', 'images', '--quiet', OWN_NODE_IMAGE])) !== '';
}

/**
 * The one that KIND_NODE_IMAGE names; else one made here of the version that KUBERNETES names, such as 1.37; else
 * kind's own if the engine has it or can pull it; else the one made here. Once made, that is taken without another try,
 * so that the speed of a network does not decide what is tested.
 */
async function nodeImage(kind: string, say: Say): Promise<string> {
  const wanted = process.env['KIND_NODE_IMAGE'];
  if (wanted !== undefined) {
    if (!(await hasImage(wanted))) await run(['docker', 'pull', '--quiet', wanted], { deadlineMs: PULL_MS });
    return wanted;
  }
  if (process.env['KUBERNETES'] !== undefined) return script(BUILD_NODE_IMAGE, say);
  const official = defaultNodeImage(kind);
  if (
    official !== null &&
    ((await hasImage(official)) || (!(await hasMadeOne()) && (await canPull(official, say))))
  )
    return official;
  return script(BUILD_NODE_IMAGE, say);
}

/** Of a container that there is. */
export async function imageOf(container: string): Promise<string> {
  return run(['docker', 'inspect', '--format', '{{.Config.Image}}', container]);
}

/** From the image itself: kind writes the version there, and the suite does what that version needs. */
async function versionOf(image: string): Promise<string> {
  return run(['docker', 'run', '--rm', '--network', 'none', '--entrypoint', 'cat', image, '/kind/version']);
}

/** Of Kubernetes 1. Throws for what is no version of it. */
export function minorOf(kubernetesVersion: string): number {
  const [, minor] = /^v1\.(\d+)\./.exec(kubernetesVersion) ?? [];
  if (minor === undefined) throw new Error(`${kubernetesVersion} is not the version of a Kubernetes`);
  return Number(minor);
}

function kubeadmApiVersion(kubernetesVersion: string): ApiVersion {
  const minor = minorOf(kubernetesVersion);
  const found = API_VERSIONS.find((version) => minor >= FIRST_MINOR[version]);
  if (found === undefined) throw new Error(`kubeadm ${kubernetesVersion} is too old for kube-vrrp kubeadm`);
  return found;
}

async function upgradeOf(product: string): Promise<string> {
  const name = `${product}-upgraded`;
  const input = `FROM ${product}\nLABEL io.kube-vrrp.e2e=upgraded\n`;
  await run(['docker', 'build', '--quiet', '--tag', name, '-'], { input, env: { DOCKER_BUILDKIT: '0' } });
  return name;
}

/**
 * Builds or finds everything, for a new cluster or the one that was kept; minutes on a new machine, seconds after that.
 */
export async function prepareImages(say: Say, reuse: boolean): Promise<Images> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const product = `kube-vrrp:${version}`;
  say(`building ${product}`);
  await script('images/build.sh', say, product);
  const kind = await kindProgram(say);
  const node = reuse ? await imageOf(WORKER) : await nodeImage(kind, say);
  const kubernetesVersion = await versionOf(node);
  return {
    kind,
    product,
    productUpgrade: await upgradeOf(product),
    node,
    kubernetesVersion,
    kubeadmApiVersion: kubeadmApiVersion(kubernetesVersion),
    withoutNetwork: node.startsWith(`${OWN_NODE_IMAGE}:`),
  };
}
