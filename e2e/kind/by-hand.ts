/** Three machines without kind, and somebody who types what the documentation says. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eventually } from '../kit/eventually.ts';
import { ipv4Of, ipv6Of, CONTROL_PLANES, NETWORK, VIP_IPV4 } from './addresses.ts';
import { run } from './command.ts';
import type { Images } from './images.ts';
import { Machine } from './machine.ts';
import { createNetwork, removeNetwork } from './network.ts';
import { SETTLED_MS } from './settled.ts';
import { typedCommands, type Place, type TypedCommands } from './typed-commands.ts';

/** kubeadm itself gives up after 4 minutes. */
const TYPED_MS = 300_000;
/** Everything that a machine knows of its static pods, of kubelet and of the VIP. */
const FINDINGS = [
  'ip address',
  'ps -eo pid,lstart,args',
  'crictl ps --all',
  'tail --lines=500 /var/log/pods/*/*/*.log',
  'journalctl --no-pager',
].join('; ');

/** Replaced in what is typed: words that the page's reader replaces too. */
export type Replacements = Readonly<Record<string, string>>;

export type Typing = {
  readonly replacements?: Replacements;
  /** All machines, in the order of their turns. Default: the first one first. */
  readonly order?: readonly Machine[];
};

export class MachinesByHand {
  readonly machines: readonly Machine[];
  readonly #images: Images;
  readonly #say: (text: string) => void;

  constructor(images: Images, say: (text: string) => void) {
    this.#images = images;
    this.#say = say;
    this.machines = CONTROL_PLANES.map(
      (name) => new Machine({ name, network: NETWORK, ipv4: ipv4Of(name), ipv6: ipv6Of(name) }),
    );
  }

  /** Boots three machines with the images' archives in /root, and nothing of a cluster on them. */
  async boot(): Promise<void> {
    await this.remove();
    await createNetwork();
    const archives = mkdtempSync(join(tmpdir(), 'kube-vrrp-archives-'));
    try {
      const old = join(archives, 'kube-vrrp.tar');
      const latest = join(archives, 'kube-vrrp-new.tar');
      await run(['docker', 'save', '--output', old, this.#images.product]);
      await run(['docker', 'save', '--output', latest, this.#images.productUpgrade]);
      for (const machine of this.machines) await this.#bootOne(machine, [old, latest]);
    } finally {
      rmSync(archives, { recursive: true, force: true });
    }
  }

  at(place: Place): readonly Machine[] {
    const [first, ...others] = this.machines;
    if (first === undefined) throw new Error('there are no machines');
    return { first: [first], others, 'control-planes': this.machines }[place];
  }

  /** The first machine. */
  get first(): Machine {
    const [first] = this.at('first');
    if (first === undefined) throw new Error('there are no machines');
    return first;
  }

  /** Types the blocks of a page under docs that are under one of its headings, on the machines they are for. */
  async follow(page: string, heading: RegExp, typing: Typing = {}): Promise<string> {
    const blocks = typedCommands(page).filter((block) => heading.test(block.heading));
    if (blocks.length === 0) throw new Error(`docs/${page} has no commands under ${heading}`);
    const outputs: string[] = [];
    for (const block of blocks) outputs.push(await this.#type(page, block, typing));
    return outputs.join('\n');
  }

  /** Types a script on one machine. Throws with all that was said when it fails. */
  async typeOn(machine: Machine, script: string, source: string): Promise<string> {
    const { exitCode, stdout, stderr } = await machine.script(script, TYPED_MS);
    if (exitCode !== 0) {
      throw new Error(
        `${source} fails on ${machine.name} with exit code ${exitCode}:\n${script}\n${stdout}${stderr}`,
      );
    }
    return stdout;
  }

  /** What the machines have to say, a file in `folder` for each: for people who were not there. */
  async collect(folder: string): Promise<void> {
    for (const machine of this.machines) await machine.report(`set +e; ${FINDINGS}`, folder);
  }

  async remove(): Promise<void> {
    await removeNetwork();
  }

  async #type(
    page: string,
    { heading, place, script }: TypedCommands,
    { replacements = {}, order = this.machines }: Typing,
  ): Promise<string> {
    this.#say(`docs/${page}, ${heading}`);
    const words = { ...this.#replacedByVersion(), ...replacements };
    const replaced = Object.entries(words).reduce(
      (text, [word, value]) => text.replaceAll(word, value),
      script,
    );
    const meant = this.at(place);
    let output = '';
    for (const machine of order.filter((one) => meant.includes(one))) {
      output += await this.typeOn(machine, replaced, `docs/${page}`);
    }
    return output;
  }

  /** The one thing that the page leaves to the reader by the version of kubeadm. */
  #replacedByVersion(): Replacements {
    return {
      'kube-vrrp kubeadm --vip': `kube-vrrp kubeadm --api-version ${this.#images.kubeadmApiVersion} --vip`,
      'kube-vrrp:NEW': this.#images.productUpgrade,
    };
  }

  async #bootOne(machine: Machine, archives: readonly string[]): Promise<void> {
    const { name, ipv4, ipv6 } = machine;
    await run([
      ...['docker', 'run', '--detach', '--tty', '--privileged', '--name', name, '--hostname', name],
      ...[
        '--security-opt',
        'seccomp=unconfined',
        '--security-opt',
        'apparmor=unconfined',
        '--cgroupns=private',
      ],
      // As container runtimes ask for; a new network namespace may begin without it, by what the host has.
      '--sysctl=net.ipv4.ip_forward=1',
      ...[
        '--tmpfs',
        '/tmp',
        '--tmpfs',
        '/run',
        // See ETCD_FOLDER in cluster.ts.
        '--tmpfs',
        '/var/lib/etcd',
        '--volume',
        '/var',
        '--volume',
        '/lib/modules:/lib/modules:ro',
      ],
      ...['--network', NETWORK, '--ip', ipv4, '--ip6', ipv6, this.#images.node],
    ]);
    await eventually(async () => (await machine.script('ctr version')).exitCode === 0, {
      what: `containerd on ${name}`,
      deadlineMs: SETTLED_MS,
    });
    for (const archive of archives) await run(['docker', 'cp', archive, `${name}:/root/`]);
    const wrapper = join(import.meta.dirname, 'kubeadm-in-container');
    await run(['docker', 'cp', wrapper, `${name}:/usr/local/sbin/kubeadm`]);
  }
}

/** What `kubeadm init` printed for the other nodes, under the words that stand for it in the documentation. */
export function joinWords(printed: string): Replacements {
  const find = (pattern: RegExp): string => {
    const [, word] = pattern.exec(printed) ?? [];
    if (word === undefined) throw new Error(`kubeadm init printed no ${pattern}:\n${printed}`);
    return word;
  };
  return {
    TOKEN: find(/--token (\S+)/),
    HASH: find(/--discovery-token-ca-cert-hash sha256:(\S+)/),
    KEY: find(/--certificate-key (\S+)/),
  };
}

/** Whether the kernel of a machine has the VIP. */
export async function hasVip(machine: Machine): Promise<boolean> {
  return (await machine.exec('ip', '-brief', 'address')).includes(`${VIP_IPV4}/`);
}

/** Waits until no machine has the VIP. */
export async function vipIsGone(machines: readonly Machine[]): Promise<void> {
  await eventually(async () => !(await Promise.all(machines.map(hasVip))).includes(true), {
    what: 'the VIP to be on no machine',
    deadlineMs: SETTLED_MS,
  });
}
