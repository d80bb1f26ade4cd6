/** Configurations other than the default, each in a cluster of its own. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { Capture, type Frame, isAdvertisement } from '../kit/capture.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster, type ClusterOptions } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { assertNoTwoHolders, assertVipStayed } from '../kit/expectations.ts';
import { HOST_INTERFACE, type Host } from '../kit/host.ts';
import { createLab, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

type Variant = {
  readonly name: string;
  readonly options: ClusterOptions;
  /** Three intervals, the skew, and room for a busy machine. */
  readonly outageMs: number;
  /**
   * The VIP moves again only when something happens: 10 ms are too short for a machine that stands still for a moment.
   */
  readonly staysPut: boolean;
  readonly destination: RegExp;
  readonly version: 2 | 3;
};

const VARIANTS: readonly Variant[] = [
  {
    name: 'unicast',
    options: { config: { vrrp: { transport: 'unicast' } } },
    outageMs: 1000,
    staysPut: true,
    destination: /^192\.168\.100\.[123]$/,
    version: 3,
  },
  {
    name: 'version 2 with a password and 1 s advertisements',
    options: { config: { vrrp: { version: 2, authPass: 'lab' } } },
    outageMs: 5000,
    staysPut: true,
    destination: /^224\.0\.0\.18$/,
    version: 2,
  },
  {
    name: '10 ms advertisements',
    options: { config: { vrrp: { advertisementInterval: '10ms' } } },
    outageMs: 500,
    staysPut: false,
    destination: /^224\.0\.0\.18$/,
    version: 3,
  },
];

/** Different on each node, and the first host's is the highest. */
function numberedPriorities(host: Host): ClusterOptions['config'] & object {
  const priorities: Record<string, number> = { 'host-1': 30, 'host-2': 20, 'host-3': 10 };
  return { vrrp: { priority: priorities[host.name] } };
}

describe('variants of the configuration', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => (lab = await createLab({ hosts: 3, clients: 1, ipv6: false })));
  afterEach(async () => cluster.stop());
  after(async () => lab.remove());

  for (const { name, options, outageMs, staysPut, destination, version } of VARIANTS) {
    test(`${name}: one holder, and another one when its link is cut`, async (t) => {
      const fromMs = monotonicMs();
      cluster = await Cluster.start(lab, options);

      const capture = await Capture.start(lab);
      // Of whoever is Active: with 10 ms, a moment in which the machine stands still may move the VIP.
      const sentByAny = (): readonly Frame[] => lab.hosts.flatMap((host) => capture.sentBy(host, 0));
      const seen = await eventually(() => sentByAny().find(isAdvertisement), {
        what: 'an advertisement',
        otherwise: () => cluster.describe(fromMs),
      });
      await capture.stop();
      assert.ok(
        seen.kind === 'vrrp' && seen.version === version && destination.test(seen.destination),
        JSON.stringify(seen),
      );

      const holder = await cluster.oneHolder();
      const disruption = await cluster.disrupt(
        () => holder.linkDown(),
        () => cluster.oneHolder((host) => host !== holder),
      );
      t.diagnostic(`${name}, link cut: ${describeDisruption(disruption)}`);
      assert.ok(disruption.outageMs <= outageMs, cluster.describe(fromMs));
      const successor = await cluster.oneHolder();
      await holder.linkUp();
      const last = await cluster.settled();
      if (staysPut) assert.equal(last, successor);
      assertNoTwoHolders(cluster, fromMs);
    });
  }

  test('preempt always: the VIP goes back to the highest priority', async (t) => {
    const fromMs = monotonicMs();
    cluster = await Cluster.start(lab, {
      config: { vrrp: { preempt: 'always' } },
      configOf: numberedPriorities,
    });
    const [first] = lab.hosts as [Host];
    await cluster.oneHolder((host) => host === first);
    await first.linkDown();
    // The lower one may be first by milliseconds, for as long.
    await cluster.oneHolder((host) => host.name === 'host-2');
    const disruption = await cluster.disrupt(
      () => first.linkUp(),
      () => cluster.oneHolder((host) => host === first),
    );
    t.diagnostic(`preempted: ${describeDisruption(disruption)}`);
    assert.equal(await cluster.settled(), first);
    assertNoTwoHolders(cluster, fromMs);
  });

  test('preempt never: the VIP stays where it is', async () => {
    const fromMs = monotonicMs();
    cluster = await Cluster.start(lab, {
      config: { vrrp: { preempt: 'never', advertisementInterval: '500ms' } },
      configOf: numberedPriorities,
    });
    const holder = cluster.holder();
    await holder.linkDown();
    const successor = await cluster.oneHolder((host) => host !== holder);
    const backAtMs = monotonicMs();
    await holder.linkUp();
    assert.equal(await cluster.settled(), successor);
    await assertVipStayed(cluster, successor, backAtMs);
    await cluster.daemon(successor).kill();
    const third = await cluster.oneHolder((host) => host !== successor);
    const restartedAtMs = monotonicMs();
    cluster.startDaemon(successor);
    assert.equal(await cluster.settled(), third);
    await assertVipStayed(cluster, third, restartedAtMs);
    assertNoTwoHolders(cluster, fromMs, undefined, 2500);
  });

  test('unicast: a Backup whose link was away for long hears the Active at once, and takes nothing', async () => {
    cluster = await Cluster.start(lab, { config: { vrrp: { transport: 'unicast' } } });
    const holder = cluster.holder();
    const fromMs = monotonicMs();
    for (const backup of cluster.others(holder)) {
      await backup.linkDown();
      // As after minutes: the holder's kernel has forgotten the address, and asks for it in vain each second.
      await holder.exec('ip', 'neigh', 'del', backup.ipv4, 'dev', HOST_INTERFACE);
      await eventually(
        async () => /INCOMPLETE|FAILED/.test((await holder.exec('ip', 'neigh', 'show', backup.ipv4)).stdout),
        { what: `${holder.name} to look for ${backup.name}` },
      );
    }
    for (const backup of cluster.others(holder)) await backup.linkUp();
    assert.equal(await cluster.settled(), holder);
    await assertVipStayed(cluster, holder, fromMs);
  });
});
