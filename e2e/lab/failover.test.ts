/** The holder is lost, stopped or drained: who holds the VIP, over all of the time, and what a client suffers. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import { Capture, isAdvertisement, isAnnouncement } from '../kit/capture.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import {
  assertNoTwoHolders,
  assertVipStayed,
  FENCE_MS,
  HANDOVER_OVERLAP_MS,
  vipGone,
} from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** The loose bound for a test; the target, which the demo and the benchmark show, is half of it. */
const LINK_CUT_OUTAGE_MS = 1000;
const KILL_OUTAGE_MS = 1000;
/** Target: 100 ms. One request that times out takes 250 ms, so no request may hang. */
const PLANNED_OUTAGE_MS = 250;

const idOf = (host: Host): string => `${host.ipv4}:${API_SERVER_PORT}`;

async function seesDown(cluster: Cluster, observer: Host, lost: Host): Promise<void> {
  const isDown = async (): Promise<boolean> => {
    const { backends } = await cluster.daemon(observer).status();
    return backends.find(({ id }) => id === idOf(lost))?.state === 'down';
  };
  await eventually(isDown, { what: `${observer.name} to see the API server of ${lost.name} down` });
}

/** How many clients of `observer` have been sent to the API server of `lost` in vain. */
function connectFailures(cluster: Cluster, observer: Host, lost: Host): Promise<number> {
  return cluster.daemon(observer).metric('kube_vrrp_backend_connect_failures_total', { backend: idOf(lost) });
}

describe('three nodes with the default configuration', () => {
  let lab: Lab;
  let cluster: Cluster;
  let startedAtMs = 0;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    startedAtMs = monotonicMs();
    cluster = await Cluster.start(lab);
  });
  beforeEach(async () => cluster.repair());
  after(async () => lab.remove());

  test('started at once, exactly one becomes the holder, and the VIP does not move again', async (t) => {
    const holder = await cluster.settled();
    assertNoTwoHolders(cluster, startedAtMs);
    const spans = lab.timeline.spans(VIP_IPV4, startedAtMs).filter(({ holders }) => holders.length > 0);
    t.diagnostic(`first holder ${((spans[0]?.fromMs ?? 0) - startedAtMs).toFixed(0)} ms after the start`);
    const aloneAtMs = spans.find(({ holders }) => holders.join() === holder.name)?.fromMs ?? Infinity;
    await assertVipStayed(cluster, holder, aloneAtMs);
    const transitionsOf = (host: Host): unknown[] =>
      cluster
        .daemon(host)
        .transitions()
        .filter(({ fields }) => fields['from'] !== 'Initialize')
        .map(({ fields }) => [fields['to'], fields['cause']]);
    for (const host of cluster.others(holder)) {
      // Timers that fire in the same millisecond make two Actives, of which the lower one gives way (RFC 9568 6.4.3).
      const causes = transitionsOf(host);
      assert.deepEqual(causes.slice(1), causes.length === 0 ? [] : [['Backup', 'outranked']]);
    }
    assert.equal(transitionsOf(holder).length, 1, cluster.describe(startedAtMs));
  });

  test('the address is a /32 with a short lease, deprecated so that it is never a source address', async () => {
    const holder = await cluster.settled();
    const vip = (await holder.kernelAddresses()).find(({ local }) => local === VIP_IPV4);
    assert.equal(vip?.prefixlen, 32);
    assert.equal(vip?.preferred_life_time, 0);
    assert.ok(vip.valid_life_time <= 2, `valid for ${vip.valid_life_time} s`);
  });

  test('link cut: a new holder soon, and the VIP stays there when the link is back', async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => holder.linkDown(),
      () => cluster.oneHolder((host) => host !== holder),
    );
    t.diagnostic(`link cut: ${describeDisruption(disruption)}; target 500 ms`);
    assert.ok(disruption.outageMs <= LINK_CUT_OUTAGE_MS, cluster.describe(fromMs));
    const successor = cluster.holder();
    await cluster
      .daemon(successor)
      .logged('why it took over', ({ msg }) => /^Backup -> Active: .*\d+ ms/.test(msg), { fromMs });

    await seesDown(cluster, successor, holder);
    assert.equal(await connectFailures(cluster, successor, holder), 0, 'no client waited for the lost node');

    const backAtMs = monotonicMs();
    await holder.linkUp();
    await cluster.settled();
    await assertVipStayed(cluster, successor, backAtMs);
    assertNoTwoHolders(cluster, fromMs);
  });

  test('kill -9: the kernel takes the VIP from the dead, and a new holder has it', async (t) => {
    const holder = await cluster.settled();
    let killedAtMs = 0;
    const disruption = await cluster.disrupt(
      async () => {
        killedAtMs = monotonicMs();
        await cluster.daemon(holder).kill();
      },
      () => cluster.oneHolder((host) => host !== holder),
    );
    const goneMs = await vipGone(cluster, holder, killedAtMs);
    t.diagnostic(`kill -9: ${describeDisruption(disruption)}; VIP gone after ${goneMs.toFixed(0)} ms`);
    assert.ok(goneMs <= FENCE_MS, cluster.describe(killedAtMs));
    assert.ok(disruption.outageMs <= KILL_OUTAGE_MS, cluster.describe(killedAtMs));
    const successor = cluster.holder();

    const restartedAtMs = monotonicMs();
    cluster.startDaemon(holder);
    await cluster.settled();
    await assertVipStayed(cluster, successor, restartedAtMs);
  });

  test('a daemon started where a VIP was left sweeps it first', async () => {
    const holder = await cluster.settled();
    const [other] = cluster.others(holder) as [typeof holder];
    await cluster.daemon(other).kill();
    // For ever, as a tool without leases would leave it.
    await other.ip(`addr add ${VIP_IPV4}/32 dev eth0`);
    await eventually(() => lab.timeline.holders(VIP_IPV4).includes(other.name), { what: 'the stale VIP' });
    cluster.startDaemon(other);
    await vipGone(cluster, other, monotonicMs());
    assert.equal(await cluster.settled(), holder);
  });

  test('stopped for 5 s and continued: fenced meanwhile, then a Backup that says next to nothing', async (t) => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const capture = await Capture.start(lab);
    const stoppedAtMs = monotonicMs();
    daemon.signal('SIGSTOP');
    const goneMs = await vipGone(cluster, holder, stoppedAtMs);
    assert.ok(goneMs <= FENCE_MS, cluster.describe(stoppedAtMs));
    const successor = await cluster.oneHolder((host) => host !== holder);
    await eventually(() => monotonicMs() >= stoppedAtMs + 5000, { what: '5 s to pass' });

    const continuedAtMs = monotonicMs();
    daemon.signal('SIGCONT');
    await daemon.logged('that it is a Backup again', ({ fields }) => fields['to'] === 'Backup', {
      fromMs: continuedAtMs,
    });
    await eventually(() => capture.lastAtMs >= continuedAtMs + 1000, { what: 'a second of capture' });
    const sent = capture.sentBy(holder, continuedAtMs, continuedAtMs + 1000);
    await capture.stop();
    const announcements = sent.filter((frame) => isAnnouncement(frame, VIP_IPV4)).length;
    const advertisements = sent.filter(isAdvertisement).length;
    t.diagnostic(
      `stopped: VIP gone after ${goneMs.toFixed(0)} ms; in the second after SIGCONT ${announcements} announcements and ` +
        `${advertisements} advertisements`,
    );
    assert.equal(announcements, 0, JSON.stringify(sent));
    // One, of priority 0, may tell that it gives up what it had.
    assert.ok(advertisements <= 1, JSON.stringify(sent));
    await assertVipStayed(cluster, successor, continuedAtMs);
    assert.equal(await cluster.settled(), successor);
    await assertVipStayed(cluster, successor, continuedAtMs);
  });

  test('SIGTERM: handed over without a failed request to speak of, exit status 0', async (t) => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => daemon.signal('SIGTERM'),
      () => cluster.oneHolder((host) => host !== holder),
    );
    t.diagnostic(`SIGTERM: ${describeDisruption(disruption)}; target 100 ms`);
    assert.ok(disruption.outageMs <= PLANNED_OUTAGE_MS, cluster.describe(fromMs));
    assert.deepEqual(await daemon.ended(), { code: 0, signal: null });
    assert.ok(
      daemon.log().some(({ event }) => event === 'stopped'),
      daemon.describe(),
    );
    assert.ok(!(await holder.kernelAddresses()).some(({ local }) => local === VIP_IPV4));
    assertNoTwoHolders(cluster, fromMs, VIP_IPV4, HANDOVER_OVERLAP_MS);
    cluster.startDaemon(holder);
    await cluster.settled();
  });

  test('drain: handed over, kept away until undrain, and undrain moves nothing', async (t) => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(async () => {
      const { exitCode, stdout, stderr } = await daemon.command('drain');
      assert.equal(exitCode, 0, stdout + stderr);
      assert.ok(
        !(await holder.kernelAddresses()).some(({ local }) => local === VIP_IPV4),
        'drain returned before the kernel had removed the VIP',
      );
    });
    t.diagnostic(`drain: ${describeDisruption(disruption)}; target 100 ms`);
    assert.ok(disruption.outageMs <= PLANNED_OUTAGE_MS, cluster.describe(fromMs));
    assertNoTwoHolders(cluster, fromMs, VIP_IPV4, HANDOVER_OVERLAP_MS);
    const successor = await cluster.oneHolder((host) => host !== holder);
    assert.equal((await daemon.status()).drained, true);

    // Kept away: of the other two, the second one takes over, never the drained node.
    const third = cluster.hosts.find((host) => host !== holder && host !== successor);
    await cluster.daemon(successor).kill();
    assert.equal(await cluster.oneHolder((host) => host !== successor), third);
    cluster.startDaemon(successor);
    await cluster.settled();

    const undrainedAtMs = monotonicMs();
    const undrained = await daemon.command('undrain');
    assert.equal(undrained.exitCode, 0, undrained.stdout + undrained.stderr);
    await eventually(async () => !(await daemon.status()).drained, { what: 'the drain to be over' });
    await cluster.settled();
    await assertVipStayed(cluster, third!, undrainedAtMs);
  });

  test('a planned handover resets a watch that only reads, so that it goes on at the new holder', async (t) => {
    const holder = await cluster.settled();
    const watcher = cluster.watch();
    await watcher.nextEvent();
    const fromMs = monotonicMs();
    cluster.daemon(holder).signal('SIGTERM');
    await cluster.oneHolder((host) => host !== holder);
    await watcher.nextEvent();
    const [interruption] = watcher.interruptions(fromMs);
    await watcher.stop();
    cluster.startDaemon(holder);
    assert.ok(interruption !== undefined && interruption.toMs !== null, 'the watch outlived its VIP');
    const tookMs = interruption.toMs - interruption.fromMs;
    t.diagnostic(`watch: ${interruption.reason}, resumed ${tookMs.toFixed(0)} ms after its last event`);
    assert.notEqual(interruption.reason, 'silence', 'the holder went away without closing the connection');
    assert.ok(tookMs <= 1000, `resumed after ${tookMs} ms`);
  });
});

describe('a node that is the only one in peers', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 1, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  after(async () => lab.remove());

  for (const stallMs of [600, 2500]) {
    test(`stopped for ${stallMs} ms and continued: it stays the Active, and no client is reset`, async (t) => {
      const [holder] = cluster.hosts as [Host];
      const daemon = cluster.daemon(holder);
      await cluster.settled();
      const watcher = cluster.watch();
      await watcher.nextEvent();
      const fromMs = monotonicMs();
      daemon.signal('SIGSTOP');
      await eventually(() => monotonicMs() >= fromMs + stallMs, { what: `${stallMs} ms to pass` });
      daemon.signal('SIGCONT');
      // After more than a second the kernel has taken the address away, and the daemon has to put it back.
      await cluster.oneHolder((host) => host === holder);
      await watcher.nextEvent();
      const interruptions = watcher.interruptions(fromMs);
      await watcher.stop();
      const said = daemon.log(fromMs).map(({ text }) => text);
      t.diagnostic(said.join('; '));
      assert.deepEqual(daemon.transitions(fromMs), [], cluster.describe(fromMs));
      assert.deepEqual(interruptions, [], cluster.describe(fromMs));
    });
  }
});
