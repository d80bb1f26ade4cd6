/** From keepalived on three nodes to kube-vrrp, one node after the other, while the VIP is in use. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { parse } from 'yaml';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { activeDownIntervalMs } from '../../src/vrrp/intervals.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { type ConfigDocument, runProgram } from '../kit/daemon.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import { Keepalived, keepalivedConfig } from '../kit/keepalived.ts';
import { GUIDE, haproxyFile, startGuideHaproxy, startGuideKeepalived } from '../kit/kubeadm-guide.ts';
import type { LabProcess } from '../kit/lab-process.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

type Old = {
  readonly name: string;
  readonly version: 2 | 3;
  readonly intervalMs: number;
  readonly password?: string;
  readonly transport: 'multicast' | 'unicast';
};

/** The first is what kubeadm's guide has people configure. */
const OLD: readonly Old[] = [
  {
    name: 'version 2 with a password, 1 s',
    version: 2,
    intervalMs: 1000,
    password: '42',
    transport: 'multicast',
  },
  { name: 'version 3, unicast, 100 ms', version: 3, intervalMs: 100, transport: 'unicast' },
];
/** As in the guide: one for the first node, another for the rest. */
const PRIORITIES = [101, 100, 100];

function startKeepalived(lab: Lab, host: Host, index: number, old: Old): Keepalived {
  const { version, intervalMs, password, transport } = old;
  const others = lab.hosts.filter((other) => other !== host).map(({ ipv4 }) => ipv4);
  return new Keepalived(
    host,
    lab.folder,
    keepalivedConfig({
      version,
      priority: PRIORITIES[index]!,
      advertisementSeconds: intervalMs / 1000,
      addresses: [VIP_IPV4],
      ...(password === undefined ? {} : { password }),
      ...(transport === 'unicast' ? { unicast: { source: host.ipv4, peers: others } } : {}),
    }),
  );
}

function prepare(lab: Lab, { version, intervalMs, password, transport }: Old): Promise<Cluster> {
  const authentication = password === undefined ? {} : { authPass: password };
  const vrrp = { version, advertisementInterval: `${intervalMs}ms`, transport, ...authentication };
  return Cluster.prepare(lab, { config: { vrrp } });
}

describe('migration of three nodes from keepalived', () => {
  for (const old of OLD) {
    test(`${old.name}: at no time two holders or none for longer than one Active_Down_Interval`, async (t) => {
      const lab = await createLab({ hosts: 3, clients: 0, ipv6: false });
      try {
        const cluster = await prepare(lab, old);
        const keepaliveds = lab.hosts.map((host, index) => startKeepalived(lab, host, index, old));
        const otherwise = (): string =>
          [cluster.describe(), ...keepaliveds.map((running) => running.describe())].join('\n');
        await eventually(() => lab.holders(VIP_IPV4)[0] === lab.hosts[0], {
          what: 'the keepalived of the highest priority to hold the VIP',
          otherwise,
        });
        await cluster.oneHolder();

        const fromMs = monotonicMs();
        for (const [index, host] of lab.hosts.entries()) {
          await keepaliveds[index]!.stop();
          await cluster.startDaemon(host).ready();
          await eventually(async () => (await cluster.daemon(host).status()).class === 'A', {
            what: `${host.name} to see API servers`,
            otherwise,
          });
          const holder = await cluster.oneHolder();
          t.diagnostic(`${old.name}: ${host.name} migrated, ${holder.name} holds the VIP`);
        }
        await cluster.oneHolder();

        const downMs = activeDownIntervalMs(old.version, Math.min(...PRIORITIES), old.intervalMs);
        const nobodyMs = lab.timeline.longestVacancyMs(VIP_IPV4, fromMs);
        const twoMs = lab.timeline.longestOverlapMs(VIP_IPV4, fromMs);
        t.diagnostic(
          `${old.name}: nobody for ${nobodyMs.toFixed(0)} ms at most, two for ${twoMs.toFixed(0)} ms at most; Active_Down_Interval ${downMs.toFixed(0)} ms`,
        );
        const told = lab.timeline.describe(VIP_IPV4, fromMs);
        assert.ok(nobodyMs <= downMs, `${told}\n${otherwise()}`);
        assert.ok(twoMs <= downMs, `${told}\n${otherwise()}`);
        const states = await Promise.all(lab.hosts.map((host) => cluster.daemon(host).status()));
        const actives = states.filter(({ virtualRouters }) => virtualRouters[0]?.state === 'Active');
        assert.equal(actives.length, 1, otherwise());
      } finally {
        await lab.remove();
      }
    });
  }
});

/** keepalived and haproxy on one host, by the files of kubeadm's guide. */
class GuideNode {
  readonly #host: Host;
  readonly #haproxyFile: string;
  readonly #haproxy: LabProcess;
  readonly #keepalived: Keepalived;

  constructor({ hosts, folder }: Lab, host: Host) {
    this.#host = host;
    this.#haproxyFile = haproxyFile(host, folder);
    this.#haproxy = startGuideHaproxy(host, folder, hosts);
    this.#keepalived = startGuideKeepalived(host, folder, GUIDE, host === hosts[0]);
  }

  /** What `kube-vrrp import` makes of its files. */
  async imported(): Promise<ConfigDocument> {
    const files = ['--keepalived', this.#keepalived.configFile, '--haproxy', this.#haproxyFile];
    const { stdout, stderr, exitCode } = await runProgram(this.#host, 'import', ...files);
    assert.equal(exitCode, 0, stderr);
    return parse(stdout) as ConfigDocument;
  }

  async stop(): Promise<void> {
    await this.#keepalived.stop();
    await this.#haproxy.kill();
  }

  describe(): string {
    return this.#keepalived.describe();
  }
}

describe("migration of three nodes from kubeadm's guide", () => {
  test('by what import makes of the files, the holder last: a client sees one short move of the VIP', async (t) => {
    const lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    try {
      const configs = new Map<Host, ConfigDocument>();
      const cluster = await Cluster.prepare(lab, { configOf: (host) => configs.get(host) ?? {} });
      const nodes = new Map(lab.hosts.map((host) => [host, new GuideNode(lab, host)]));
      for (const [host, node] of nodes) configs.set(host, await node.imported());
      const [first, ...rest] = lab.hosts as [Host, ...Host[]];
      for (const host of rest) assert.deepEqual(configs.get(host), configs.get(first));

      const otherwise = (): string =>
        [cluster.describe(), ...[...nodes.values()].map((node) => node.describe())].join('\n');
      const what = 'the keepalived of the highest priority to hold the VIP';
      await eventually(() => lab.holders(VIP_IPV4)[0] === first, { what, otherwise });
      await cluster.oneHolder((host) => host === first);
      await cluster.client().steady();
      const fromMs = monotonicMs();
      for (const host of [...rest, first]) {
        assert.equal(await cluster.oneHolder(), first, otherwise());
        await nodes.get(host)?.stop();
        await cluster.startDaemon(host).ready();
        await eventually(async () => (await cluster.daemon(host).status()).class === 'A', {
          what: `${host.name} to see API servers`,
          otherwise,
        });
        await cluster.client().steady();
      }
      await cluster.oneHolder((host) => host !== first);
      const disruption = cluster.client().disruption(fromMs);
      t.diagnostic(describeDisruption(disruption));
      assert.ok(
        lab.timeline.longestOverlapMs(VIP_IPV4, fromMs) <= 100,
        lab.timeline.describe(VIP_IPV4, fromMs),
      );
      assert.ok(disruption.outageMs <= 1000, `${cluster.describe(fromMs)}\n${otherwise()}`);
    } finally {
      await lab.remove();
    }
  });
});
