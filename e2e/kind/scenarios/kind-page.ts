/**
 * docs/kind.md, typed by somebody who has docker, kind and the product's image, and no cluster yet. Not on the page:
 * the suite's own node image, --retain, a kubeconfig apart, and what the suite's engine and image lack (the bridge's
 * filter, pod networks).
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

import { attempt, run } from '../command.ts';
import type { Images } from '../images.ts';
import { kubectlIn } from '../kubectl.ts';
import { Machine } from '../machine.ts';
import { closeBridge, openBridge } from '../network.ts';
import { joinPodNetworks } from '../pod-network.ts';
import type { Scenario } from '../scenario.ts';
import { typedOnHost } from '../typed-commands.ts';

const PAGE = 'kind.md';
/** What the page calls its cluster and its network, which are others than the suite's. */
const CLUSTER = 'ha';
const NETWORK = 'ha';
const ENDPOINT = 'https://192.168.101.10:36443';
const NODES = ['control-plane', 'control-plane2', 'control-plane3'].map((role) => `${CLUSTER}-${role}`);
const LOAD_BALANCER = `${CLUSTER}-external-load-balancer`;
/** Where the reader types; there from the first look at the page until everything is removed. */
const FOLDER = join(tmpdir(), 'kube-vrrp-kind-page');
/** In it, once the page has made its network: the network's bridge, by which a later run knows its own. */
const MADE = join(FOLDER, 'made');
const TYPED_SECONDS = 900;
const KIND_MS = 120_000;

/** Null while there is no network. The engine names a bridge so when nobody else does. */
async function bridge(): Promise<string | null> {
  const { exitCode, stdout } = await attempt([
    ...['docker', 'network', 'inspect', '--format', '{{.Id}}', NETWORK],
  ]);
  return exitCode === 0 ? `br-${stdout.slice(0, 12)}` : null;
}

/** The bridge that a run which nobody could clean up after has made; undefined where there was none. */
function madeBridge(): string | undefined {
  try {
    return readFileSync(MADE, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whether anything is left of the network and the nodes, or was there before. */
async function isThere(): Promise<boolean> {
  const label = `label=io.x-k8s.kind.cluster=${CLUSTER}`;
  const containers = await run(['docker', 'ps', '--all', '--quiet', '--filter', label]);
  return containers !== '' || (await bridge()) !== null;
}

async function addressOf(container: string): Promise<string> {
  const format = `{{(index .NetworkSettings.Networks "${NETWORK}").IPAddress}}`;
  return run(['docker', 'inspect', '--format', format, container]);
}

/** The page, and what is on this machine while it is followed. */
export class KindPage {
  readonly images: Images;
  readonly #say: (text: string) => void;

  constructor(images: Images, say: (text: string) => void) {
    this.images = images;
    this.#say = say;
  }

  /** Throws where there is a cluster of the page's name that is somebody's: it would be deleted in the end. */
  async open(): Promise<void> {
    // Left by a run that nobody could clean up after.
    if ((await bridge()) === madeBridge()) await this.remove();
    if (await isThere()) {
      throw new Error(
        `docker has a network or a kind cluster "${CLUSTER}", as docs/${PAGE} makes them: delete it first`,
      );
    }
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER);
  }

  /** Types the page's blocks that are under one of its headings, each in a shell of its own in the page's folder. */
  async follow(heading: RegExp): Promise<string> {
    const blocks = typedOnHost(PAGE).filter((block) => heading.test(block.heading));
    if (blocks.length === 0) throw new Error(`docs/${PAGE} has no commands under ${heading}`);
    let output = '';
    for (const { heading: name, script } of blocks) {
      this.#say(`docs/${PAGE}, ${name}`);
      output += await this.#type(script);
    }
    return output;
  }

  /** What kind has to say of the nodes, in `folder`: for people who were not there. */
  async collect(folder: string): Promise<void> {
    await this.#kind('export', 'logs', '--name', CLUSTER, folder);
  }

  /** Removes whatever there is. */
  async remove(): Promise<void> {
    await this.#kind('delete', 'cluster', '--name', CLUSTER);
    const opened = await bridge();
    await attempt(['docker', 'network', 'rm', NETWORK]);
    if (opened !== null) await closeBridge(opened);
    rmSync(FOLDER, { recursive: true, force: true });
  }

  async #kind(...args: readonly string[]): Promise<void> {
    await attempt([this.images.kind, ...args], { env: this.#env(), deadlineMs: KIND_MS });
  }

  /** kind is on PATH, and the kubeconfig that it writes to is not that of whoever runs this. */
  #env(): Record<string, string> {
    return {
      PATH: [dirname(this.images.kind), process.env['PATH'] ?? ''].join(delimiter),
      KUBECONFIG: join(FOLDER, 'kubeconfig'),
    };
  }

  async #type(script: string): Promise<string> {
    // The nodes are to be of the image that the suite has found or made. They stay when kind fails, to be looked at.
    const create = 'kind create cluster';
    const typed = script.replaceAll(create, `${create} --image ${this.images.node} --retain`);
    // timeout(1) ends what the shell has started as well.
    const shell = ['timeout', '--kill-after=5', String(TYPED_SECONDS), 'sh', '-euc'];
    const { exitCode, stdout, stderr } = await attempt([...shell, `cd ${FOLDER}\n${typed}`], {
      env: this.#env(),
      deadlineMs: (TYPED_SECONDS + 10) * 1000,
    });
    if (exitCode !== 0) {
      throw new Error(`docs/${PAGE} fails with exit code ${exitCode}:\n${typed}\n${stdout}${stderr}`);
    }
    return stdout;
  }
}

async function machines(): Promise<Machine[]> {
  return Promise.all(
    NODES.map(async (name) => new Machine({ name, network: NETWORK, ipv4: await addressOf(name), ipv6: '' })),
  );
}

/** Throws unless the page's last look shows what the page says. */
async function expectLook(looked: string): Promise<void> {
  const [server] = looked.split('\n');
  if (server !== ENDPOINT) throw new Error(`the kubeconfig names ${server}:\n${looked}`);
  for (const name of NODES) {
    if (!looked.includes(`node/${name} condition met`)) throw new Error(`${name} is not ready:\n${looked}`);
  }
  const holders = looked.match(/^\S+ has the VIP$/gm) ?? [];
  if (holders.length !== 1) throw new Error(`${holders.length} nodes have the VIP:\n${looked}`);
  const strange = (await addressOf(LOAD_BALANCER)).replaceAll('.', '\\.');
  if (!new RegExp(`^${strange}:6443 +down\\b`, 'm').test(looked)) {
    throw new Error(`${LOAD_BALANCER} is not shown as an API server that is down:\n${looked}`);
  }
}

async function follow(page: KindPage): Promise<string> {
  await page.follow(/^1\./);
  const opened = await bridge();
  if (opened === null) throw new Error(`docs/${PAGE} makes no network ${NETWORK}`);
  writeFileSync(MADE, opened);
  // As an engine with a packet filter does by itself; the one that the suite starts has none.
  await openBridge(opened);
  try {
    await page.follow(/^[234]\./);
    if (page.images.withoutNetwork) {
      await joinPodNetworks(kubectlIn(`${CLUSTER}-control-plane`), await machines());
    }
    await expectLook(await page.follow(/^5\./));
    await page.follow(/^Delete/);
  } finally {
    await closeBridge(opened);
  }
  if (await isThere()) throw new Error(`docs/${PAGE} leaves nodes or the network`);
  return 'typed from the network to its removal';
}

export const KIND_PAGE: Pick<Scenario, 'name' | 'what'> & {
  readonly run: (page: KindPage) => Promise<string>;
} = {
  name: 'kind-page',
  what: 'docs/kind.md typed on this machine: a network, a cluster of three control planes, a look, deletion',
  run: follow,
};
