/** What should not be on the segment: each is counted, and a line of the log says what to change. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { Cluster } from '../kit/cluster.ts';
import type { LogEntry } from '../kit/daemon.ts';
import { eventually } from '../kit/eventually.ts';
import { assertVipStayed } from '../kit/expectations.ts';
import { Forger, type Forgery } from '../kit/forger.ts';
import { HOST_INTERFACE, type Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, VIP_IPV6, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

const TIMES = 20;

describe('conflicts', () => {
  let lab: Lab;
  let cluster: Cluster;
  let stranger: Host;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 2, ipv6: true });
    // No host of the cluster: nobody looks whether it has a VIP.
    stranger = lab.clients[1]!;
    cluster = await Cluster.start(lab, { vips: [VIP_IPV4, VIP_IPV6] });
  });
  after(async () => lab.remove());

  /** The sum of a node's counters of this name with these labels. */
  async function counted(
    host: Host,
    name: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<number> {
    return cluster.daemon(host).metric(`kube_vrrp_${name}`, labels);
  }

  const FORGERIES: readonly {
    readonly what: string;
    readonly forgery: Forgery;
    readonly counter: readonly [string, Readonly<Record<string, string>>];
    readonly says: RegExp;
  }[] = [
    {
      what: 'another group with the same VRID',
      forgery: { priority: 254, addresses: ['192.168.100.77'] },
      counter: ['packets_rejected_total', { reason: 'other_addresses' }],
      says: /another group uses this VRID, for other addresses: give one of the two another vrrp\.vrid/,
    },
    {
      what: 'a peer with another interval',
      forgery: { priority: 1, intervalCs: 50 },
      counter: ['mismatches_total', { field: 'interval' }],
      says: /each 500 ms, this node each 100 ms: set the same vrrp\.advertisementInterval on all/,
    },
    {
      what: 'a peer with another version',
      forgery: { priority: 254, version: 2 },
      counter: ['packets_rejected_total', { reason: 'other_version' }],
      says: /another VRRP version: set the same vrrp\.version on all/,
    },
  ];
  for (const { what, forgery, counter, says } of FORGERIES) {
    test(`${what}: counted, said once, and the VIP stays`, async () => {
      const holder = await cluster.settled();
      const [peer] = cluster.others(holder) as [Host];
      const forger = new Forger(stranger);
      const fromMs = monotonicMs();
      await forger.send({ ...forgery, source: peer.ipv4 }, TIMES);
      await eventually(async () => (await counted(holder, ...counter)) >= TIMES, {
        what: `${what} to be counted`,
        otherwise: () => cluster.describe(fromMs),
      });
      await forger.stop();
      const isIt = ({ msg }: LogEntry): boolean => says.test(msg);
      await cluster.daemon(holder).logged(what, isIt, { fromMs });
      const lines = cluster.daemon(holder).log(fromMs).filter(isIt);
      assert.equal(lines.length, 1, cluster.describe(fromMs));
      await assertVipStayed(cluster, holder, fromMs);
    });
  }

  test('two Actives, one of which does not hear the other: both stay, and it is said what to let pass', async () => {
    // The highest priority: it hears the other one, and does not give way.
    await cluster.giveTo(lab.hosts[0]!);
    const [holder, witness, deaf] = lab.hosts as [Host, Host, Host];
    const fromMs = monotonicMs();
    await deaf.exec('nft', 'add table inet deaf');
    await deaf.exec('nft', 'add chain inet deaf in { type filter hook input priority 0; }');
    await deaf.exec('nft', 'add rule inet deaf in meta l4proto 112 drop');
    for (const host of [holder, witness]) {
      const { msg } = await cluster
        .daemon(host)
        .logged('that there are two', ({ event }) => event === 'two_actives', { fromMs });
      assert.match(msg, /two nodes have been Active for \d+ ms/);
      assert.match(msg, /let IP protocol 112 pass both ways/);
      await eventually(async () => (await counted(host, 'conflicts_total', { kind: 'two_actives' })) > 0, {
        what: 'two Actives to be counted',
      });
    }
    await deaf.exec('nft', 'delete table inet deaf');
    await cluster.settled();
  });

  for (const vip of [VIP_IPV4, VIP_IPV6]) {
    test(`another host that answers for ${vip}: counted, and said which one it is`, async () => {
      await cluster.settled();
      const holder = cluster.holder(vip);
      const fromMs = monotonicMs();
      const prefix = vip.includes(':') ? '128 nodad' : '32';
      await stranger.ip(`addr add ${vip}/${prefix} dev ${HOST_INTERFACE}`);
      // A new holder asks after some seconds, and then each minute.
      await holder.linkDown();
      const successor = await cluster.oneHolder((host) => host !== holder, { vip });
      const mac = (await stranger.exec('cat', `/sys/class/net/${HOST_INTERFACE}/address`)).stdout.trim();
      const { msg } = await cluster
        .daemon(successor)
        .logged('who else has it', ({ event }) => event === 'address_claimed', { fromMs });
      assert.ok(msg.includes(mac) && msg.includes(vip), msg);
      const labels = { kind: 'address_claimed', vip };
      await eventually(async () => (await counted(successor, 'conflicts_total', labels)) > 0, {
        what: 'the claim to be counted',
      });
      await stranger.ip(`addr del ${vip}/${prefix.split(' ')[0]} dev ${HOST_INTERFACE}`);
      await holder.linkUp();
      // The client's kernel asks anew after a while.
      await cluster.client(vip).steady(monotonicMs(), 90_000);
    });
  }

  test('nothing of the kind is said of failovers', async () => {
    const [host] = cluster.hosts as [Host];
    await cluster.settled();
    const earlier = await counted(host, 'conflicts_total', {});
    const fromMs = monotonicMs();
    await cluster.giveTo(lab.hosts[1]!);
    await cluster.giveTo(lab.hosts[0]!);
    await eventually(() => monotonicMs() > fromMs + 5000, { what: 'the first question to be answered' });
    assert.equal(await counted(host, 'conflicts_total', {}), earlier, cluster.describe(fromMs));
  });
});
