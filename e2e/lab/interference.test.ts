/** Somebody else changes the addresses and links that the daemon lives on. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { assertNoTwoHolders, assertVipStayed, vipGone } from '../kit/expectations.ts';
import { HOST_INTERFACE } from '../kit/host.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** How long nobody may have a VIP that was removed from outside: repaired, or given up to another node. */
const REPAIR_MS = 1000;

describe('interference from outside', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  beforeEach(async () => cluster.repair());
  after(async () => lab.remove());

  test('the VIP removed with `ip addr del` is back somewhere within a second', async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => holder.ip(`addr del ${VIP_IPV4}/32 dev ${HOST_INTERFACE}`),
      () => cluster.oneHolder(),
    );
    const vacancyMs = lab.timeline.longestVacancyMs(VIP_IPV4, fromMs);
    t.diagnostic(
      `VIP removed: nobody had it for ${vacancyMs.toFixed(0)} ms; ${describeDisruption(disruption)}`,
    );
    assert.ok(vacancyMs <= REPAIR_MS, cluster.describe(fromMs));
    assertNoTwoHolders(cluster, fromMs);
    await cluster.settled();
  });

  test('removed again and again, it comes back each time and never in two places', async () => {
    const fromMs = monotonicMs();
    for (let round = 0; round < 5; round += 1) {
      const holder = await cluster.oneHolder();
      const removedAtMs = monotonicMs();
      await holder.ip(`addr del ${VIP_IPV4}/32 dev ${HOST_INTERFACE}`);
      await cluster.oneHolder();
      const vacancyMs = lab.timeline.longestVacancyMs(VIP_IPV4, removedAtMs);
      assert.ok(vacancyMs <= REPAIR_MS, `round ${round}\n${cluster.describe(removedAtMs)}`);
    }
    assertNoTwoHolders(cluster, fromMs);
    await cluster.settled();
  });

  test('the VIP added by hand to a Backup, and to the holder with another prefix, is removed; it stays where it was', async () => {
    const holder = await cluster.settled();
    const [backup] = cluster.others(holder) as [typeof holder];
    const fromMs = monotonicMs();
    for (const [host, prefix] of [
      [backup, 32],
      [backup, 24],
      [holder, 24],
    ] as const) {
      await host.ip(`addr add ${VIP_IPV4}/${prefix} dev ${HOST_INTERFACE}`);
      const what = `${VIP_IPV4}/${prefix} on ${HOST_INTERFACE}`;
      await cluster
        .daemon(host)
        .logged(`that ${what} is removed`, ({ msg }) => msg.includes(what), { fromMs });
      const left = (await host.kernelAddresses()).filter(({ local }) => local === VIP_IPV4);
      assert.deepEqual(
        left.map(({ prefixlen }) => prefixlen),
        host === holder ? [32] : [],
      );
    }
    assert.equal(await cluster.settled(), holder);
    for (const host of cluster.hosts) assert.deepEqual(cluster.daemon(host).transitions(fromMs), []);
    const events = cluster
      .daemon(holder)
      .log(fromMs)
      .map(({ event }) => event);
    assert.ok(!events.includes('address_restored'), cluster.describe(fromMs));
  });

  test('all addresses flushed from the holder: another node takes over, and the holder comes back with its address', async () => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    await holder.ip(`addr flush dev ${HOST_INTERFACE}`);
    const successor = await cluster.oneHolder((host) => host !== holder);
    assertNoTwoHolders(cluster, fromMs);
    await holder.ip(`addr add ${holder.ipv4}/24 dev ${HOST_INTERFACE}`);
    assert.equal(await cluster.settled(), successor);
    assertNoTwoHolders(cluster, fromMs);
  });

  test('the interface of the holder is removed and made again: the daemon stays up and joins again', async () => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    await holder.removeInterface();
    const successor = await cluster.oneHolder((host) => host !== holder);
    assertNoTwoHolders(cluster, fromMs);
    assert.equal(daemon.exit, null, daemon.describe());
    const backAtMs = monotonicMs();
    await holder.createInterface();
    assert.equal(await cluster.settled(), successor);
    await assertVipStayed(cluster, successor, backAtMs);
  });

  test('the interface of the holder comes back under another name: the daemon stays up and joins again there', async () => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    await holder.ip(`link set ${HOST_INTERFACE} down`, `link set ${HOST_INTERFACE} name net7`);
    // Before it is back: who is away for a few milliseconds alone, and has the higher priority, may win again.
    const successor = await cluster.oneHolder((host) => host !== holder);
    await holder.ip('link set net7 up');
    await daemon.logged('the new name', ({ msg }) => msg.includes('net7'), { fromMs });
    await eventually(async () => (await daemon.status()).interface === 'net7', { what: 'net7 in /status' });
    assert.equal(await cluster.settled(), successor);
    await holder.ip(
      'link set net7 down',
      `link set net7 name ${HOST_INTERFACE}`,
      `link set ${HOST_INTERFACE} up`,
    );
    assert.equal(await cluster.settled(), successor);
    assert.equal(daemon.exit, null, daemon.describe());
    assertNoTwoHolders(cluster, fromMs);
  });

  test('the interface of the holder gets another hardware address: the VIP stays, and is announced from there', async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => holder.ip(`link set dev ${HOST_INTERFACE} address 02:00:00:00:77:77`),
      () =>
        cluster
          .daemon(holder)
          .logged('that it announces anew', ({ msg }) => msg.includes('another hardware address'), {
            fromMs,
          }),
    );
    t.diagnostic(`another hardware address: ${describeDisruption(disruption)}`);
    assert.ok(disruption.outageMs <= REPAIR_MS, cluster.describe(fromMs));
    assert.deepEqual(cluster.daemon(holder).transitions(fromMs), []);
    assert.equal(await cluster.settled(), holder);
  });

  test('an interface that is missing at the start is waited for, with a log line, and then the node joins', async () => {
    const holder = await cluster.settled();
    const [late] = cluster.others(holder) as [typeof holder];
    await cluster.daemon(late).kill();
    await vipGone(cluster, late, monotonicMs());
    await late.removeInterface();
    const daemon = cluster.startDaemon(late);
    await daemon.logged('that it waits', ({ event }) => event === 'waiting');
    assert.equal((await eventually(() => late.get('/readyz'), { what: '/readyz to answer' })).status, 503);
    assert.equal(daemon.exit, null, daemon.describe());
    const joinedAtMs = monotonicMs();
    await late.createInterface();
    await daemon.logged('that it is a Backup', ({ fields }) => fields['to'] === 'Backup');
    assert.equal(await cluster.settled(), holder);
    await assertVipStayed(cluster, holder, joinedAtMs);
    assert.equal((await late.get('/readyz')).status, 200);
  });
});
