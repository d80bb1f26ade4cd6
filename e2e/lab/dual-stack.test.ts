/** IPv6, alone and beside IPv4. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import type { LogEntry } from '../kit/daemon.ts';
import { eventually } from '../kit/eventually.ts';
import { assertNoTwoHolders, FENCE_MS, vipGone } from '../kit/expectations.ts';
import { HOST_INTERFACE, type Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, VIP_IPV6, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

const OUTAGE_MS = 1000;

/** An IPv6 VIP is a /128, deprecated from the start, and without duplicate address detection, which takes a second. */
async function assertUsableAtOnce(holder: Host): Promise<void> {
  const { stdout } = await holder.exec('ip', '-6', '-o', 'addr', 'show', 'dev', HOST_INTERFACE);
  const line = stdout.split('\n').find((text) => text.includes(`${VIP_IPV6}/128`)) ?? '';
  assert.match(line, /deprecated/);
  assert.match(line, /preferred_lft 0sec/);
  assert.match(line, /nodad/);
  assert.doesNotMatch(line, /tentative|dadfailed/);
}

describe('dual stack and IPv6', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => (lab = await createLab({ hosts: 3, clients: 1, ipv6: true })));
  afterEach(async () => cluster.stop());
  after(async () => lab.remove());

  for (const vips of [[VIP_IPV4, VIP_IPV6], [VIP_IPV6]] as const) {
    const name = vips.length === 2 ? 'dual stack' : 'IPv6 only';
    test(`${name}: each VIP has one holder and is served, after a cut link and after kill -9, too`, async (t) => {
      const fromMs = monotonicMs();
      cluster = await Cluster.start(lab, { vips });
      const holder = cluster.holder(vips[0]);
      for (const vip of vips) cluster.client(vip);
      await assertUsableAtOnce(cluster.holder(VIP_IPV6));

      const cutAtMs = monotonicMs();
      await holder.linkDown();
      for (const vip of vips) await cluster.oneHolder((host) => host !== holder, { vip });
      for (const vip of vips) {
        await cluster.client(vip).steady();
        const disruption = cluster.client(vip).disruption(cutAtMs);
        t.diagnostic(`${name}, ${vip}, link cut: ${describeDisruption(disruption)}`);
        assert.ok(disruption.outageMs <= OUTAGE_MS, cluster.describe(cutAtMs));
      }
      await holder.linkUp();
      await cluster.settled();
      for (const vip of vips) assertNoTwoHolders(cluster, fromMs, vip);

      const second = cluster.holder(vips[0]);
      const killedAtMs = monotonicMs();
      await cluster.daemon(second).kill();
      for (const vip of vips) {
        const goneMs = await vipGone(cluster, second, killedAtMs, vip);
        t.diagnostic(`${name}, ${vip}, kill -9: gone after ${goneMs.toFixed(0)} ms`);
        assert.ok(goneMs <= FENCE_MS, cluster.describe(killedAtMs));
        await cluster.oneHolder((host) => host !== second, { vip });
        await cluster.client(vip).steady();
        const disruption = cluster.client(vip).disruption(killedAtMs);
        t.diagnostic(`${name}, ${vip}, kill -9: ${describeDisruption(disruption)}`);
        assert.ok(disruption.outageMs <= OUTAGE_MS, cluster.describe(killedAtMs));
      }
      cluster.startDaemon(second);
      await cluster.settled();
    });
  }

  /** One host holds both VIPs, and the other one, which is ready, stands for the IPv4 one only. */
  async function startHalfFollowed(): Promise<{ holder: Host; successor: Host }> {
    const [holder, successor] = lab.hosts as [Host, Host];
    cluster = await Cluster.prepare(lab, {
      hosts: [holder, successor],
      vips: [VIP_IPV4, VIP_IPV6],
      configOf: (host) => (host === successor ? { vip: VIP_IPV4 } : {}),
    });
    const daemon = cluster.startDaemon(holder);
    for (const vip of cluster.vips) await cluster.oneHolder((host) => host === holder, { vip });
    await cluster.startDaemon(successor).ready();
    await eventually(
      async () => {
        const { backends } = await daemon.status();
        // Ready is not healthy yet, which is what a Backup has to be to take over.
        const successorClass = (await cluster.daemon(successor).status()).class;
        return backends.every(({ state }) => state === 'up') && successorClass === 'A';
      },
      { what: 'both API servers to be up', otherwise: () => cluster.describe() },
    );
    return { holder, successor };
  }

  test('drain, and nobody takes one of the two VIPs: it fails, and the node stands for both again', async () => {
    const { holder, successor } = await startHalfFollowed();
    const daemon = cluster.daemon(holder);
    const { exitCode, stdout, stderr } = await daemon.command('drain');
    assert.equal(exitCode, 1, stdout + stderr);
    assert.match(stdout, new RegExp(`^${VIP_IPV4} handed over to`, 'mu'));
    assert.match(stderr, new RegExp(`no other node took ${VIP_IPV6}, so .* is not drained`, 'u'));
    assert.equal((await daemon.status()).drained, false);
    await cluster.oneHolder((host) => host === successor, { vip: VIP_IPV4 });

    await cluster.daemon(successor).kill();
    for (const vip of cluster.vips) await cluster.oneHolder((host) => host === holder, { vip });
  });

  test('SIGTERM, and one VIP moves before the other: nothing is opened again, and the end is clean', async () => {
    const { holder, successor } = await startHalfFollowed();
    const daemon = cluster.daemon(holder);
    daemon.signal('SIGTERM');
    assert.deepEqual(await daemon.ended(), { code: 0, signal: null }, daemon.describe());
    assert.equal(daemon.complaints, '');
    await cluster.oneHolder((host) => host === successor, { vip: VIP_IPV4 });
  });
});

describe('IPv6 multicast with vrrp.senders', () => {
  test('a router that is not listed advertises the highest priority: all drop it, and the holder stays', async (t) => {
    const lab = await createLab({ hosts: 4, clients: 1, ipv6: true });
    try {
      const [stranger, ...hosts] = lab.hosts.toReversed() as [Host, ...Host[]];
      const senders = hosts.map(({ linkLocal }) => linkLocal);
      const vips = [VIP_IPV6];
      // Of their own accord one of them would advertise 254, too, and a Backup yields to an equal (RFC 9568 6.4.2).
      const vrrp = { senders, priority: 25 };
      const cluster = await Cluster.start(lab, { hosts, vips, config: { vrrp } });
      const holder = cluster.holder(VIP_IPV6);
      const fromMs = monotonicMs();
      const claim = { vrrp: { priority: 31, preempt: 'always' } };
      const strangers = await Cluster.prepare(lab, { hosts: [stranger], vips, config: claim });
      const becameActive = ({ event, fields }: LogEntry): boolean =>
        event === 'transition' && fields['to'] === 'Active';
      await strangers.startDaemon(stranger).logged('that it is Active', becameActive);
      for (const host of hosts) {
        const dropped = await eventually(
          async () => {
            const labels = { reason: 'source_not_in_peers' };
            const count = await cluster.daemon(host).metric('kube_vrrp_packets_rejected_total', labels);
            return count >= 20 && count;
          },
          { what: `${host.name} to drop its advertisements`, otherwise: () => cluster.describe(fromMs) },
        );
        t.diagnostic(`${host.name}: ${dropped} of a stranger dropped`);
        assert.deepEqual(cluster.daemon(host).transitions(fromMs), []);
      }
      const bound = (await holder.kernelAddresses()).filter(({ local }) => local === VIP_IPV6);
      assert.equal(bound.length, 1);
    } finally {
      await lab.remove();
    }
  });
});
