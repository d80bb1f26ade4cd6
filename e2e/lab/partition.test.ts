/**
 * A segment that falls apart and heals: as a whole, in one direction, or for VRRP alone; and one that is slow. VRRP
 * allows a holder on each side meanwhile, and nothing beyond that.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { assertVipStayed } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** Without a holder on the client's side; and from healing until only one holder is left. */
const ELECTION_MS = 1000;

/**
 * A client's ARP cache may refuse news for a second after the last ones (`locktime`), so that only an announcement
 * repeated after more than a second is sure to reach it; without one, the client is lost for half a minute.
 */
const ANNOUNCED_MS = 3000;

/** By then a new holder has said all it says about its promotion: nothing left over helps after healing. */
const SPLIT_MS = 5000;

describe('partition and heal', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  beforeEach(async () => {
    await passAllFrames(lab);
    for (const host of cluster.hosts) await nft(host.namespace, 'flush ruleset');
    await cluster.repair();
  });
  after(async () => lab.remove());

  for (const name of ['host-1', 'host-3']) {
    test(`the holder ${name} alone against the rest: a holder on each side, and one of them within a second of healing`, async (t) => {
      const lonely = lab.host(name);
      await cluster.giveTo(lonely);
      const rest = cluster.others(lonely);
      const fromMs = monotonicMs();
      const split = await cluster.disrupt(
        () => lab.partition([lonely], [...rest, lab.client]),
        () => eventually(() => lab.holders(VIP_IPV4).length === 2, { what: 'a holder on each side' }),
      );
      t.diagnostic(`split: ${describeDisruption(split)}`);
      assert.ok(split.outageMs <= ELECTION_MS, cluster.describe(fromMs));
      await eventually(() => monotonicMs() >= fromMs + SPLIT_MS, { what: 'the split to last' });

      const healingMs = monotonicMs();
      await lab.heal();
      const healedAtMs = monotonicMs();
      const winner = await cluster.oneHolder();
      const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, healedAtMs);
      assert.ok(overlapMs <= ELECTION_MS, cluster.describe(healedAtMs));
      await cluster.client().steady(monotonicMs(), 60_000);
      const healing = cluster.client().disruption(healingMs);
      t.diagnostic(
        `healed: ${winner.name} has it, two holders for another ${overlapMs.toFixed(0)} ms; ${describeDisruption(healing)}`,
      );
      assert.ok(healing.outageMs <= ANNOUNCED_MS, cluster.describe(healingMs));
      assert.equal(await cluster.settled(), winner, 'the VIP moved once more after healing');
    });
  }

  test('the holder of the highest priority is not heard: two hold the VIP, and one of them as soon as it is heard again', async (t) => {
    const [deafened] = cluster.hosts as [Host];
    await cluster.giveTo(deafened);
    const fromMs = monotonicMs();
    await dropFrames(lab, deafened, cluster.others(deafened));
    await eventually(() => lab.holders(VIP_IPV4).length === 2, { what: 'somebody to miss the holder' });
    assert.ok(lab.holders(VIP_IPV4).includes(deafened), 'it hears only routers of lower priority');
    await eventually(() => monotonicMs() >= fromMs + SPLIT_MS, { what: 'the split to last' });
    t.diagnostic(`not heard: ${describeDisruption(cluster.client().disruption(fromMs))}`);
    assert.equal(lab.holders(VIP_IPV4).length, 2, cluster.describe(fromMs));

    const healedAtMs = monotonicMs();
    await passAllFrames(lab);
    assert.equal(await cluster.oneHolder(), deafened);
    const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, healedAtMs);
    t.diagnostic(`heard again: two holders for another ${overlapMs.toFixed(0)} ms`);
    assert.ok(overlapMs <= ELECTION_MS, cluster.describe(healedAtMs));
    await cluster.client().steady();
    assert.equal(await cluster.settled(), deafened);
  });

  test('a holder of lower priority is not heard: it gives way to the one that takes over', async (t) => {
    const [, , deafened] = cluster.hosts as [Host, Host, Host];
    await cluster.giveTo(deafened);
    const fromMs = monotonicMs();
    await dropFrames(lab, deafened, cluster.others(deafened));
    const successor = await cluster.oneHolder((host) => host !== deafened);
    const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, fromMs);
    assert.ok(overlapMs <= ELECTION_MS, cluster.describe(fromMs));
    await cluster.client().steady();
    t.diagnostic(`not heard: ${describeDisruption(cluster.client().disruption(fromMs))}`);
    const healedAtMs = monotonicMs();
    await passAllFrames(lab);
    assert.equal(await cluster.settled(), successor);
    await assertVipStayed(cluster, successor, healedAtMs);
  });

  test('VRRP blocked while TCP passes: every node holds the VIP, clients are served, and one keeps it when VRRP passes', async (t) => {
    await cluster.settled();
    const fromMs = monotonicMs();
    for (const host of cluster.hosts) await nft(host.namespace, ...DROP_VRRP);
    await eventually(() => lab.holders(VIP_IPV4).length === cluster.hosts.length, {
      what: 'every node to hold the VIP',
    });
    await cluster.client().steady(monotonicMs(), 60_000);
    t.diagnostic(`blocked: ${describeDisruption(cluster.client().disruption(fromMs))}`);
    const passesAtMs = monotonicMs();
    for (const host of cluster.hosts) await nft(host.namespace, 'flush ruleset');
    const passedAtMs = monotonicMs();
    const winner = await cluster.oneHolder();
    const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, passedAtMs);
    await cluster.client().steady(monotonicMs(), 60_000);
    t.diagnostic(
      `passes again: two holders or more for another ${overlapMs.toFixed(0)} ms; ${describeDisruption(cluster.client().disruption(passesAtMs))}`,
    );
    assert.ok(overlapMs <= ELECTION_MS, cluster.describe(passesAtMs));
    assert.equal(await cluster.settled(), winner, 'the VIP moved once more');
  });

  test('the side without healthy API servers: its holder keeps the VIP there, and loses it when the segment is one again', async () => {
    const [minority] = cluster.hosts as [Host];
    await cluster.giveTo(minority);
    const rest = cluster.others(minority);
    await lab.partition([minority], [...rest, lab.client]);
    cluster.apiServer(minority).fail(); // as for want of etcd's quorum
    await eventually(() => rest.some((host) => lab.holders(VIP_IPV4).includes(host)), {
      what: 'the other side to have a holder',
    });
    await eventually(async () => (await cluster.daemon(minority).status()).class === 'C', {
      what: 'the minority to be of class C',
    });
    assert.ok(lab.holders(VIP_IPV4).includes(minority), 'nobody healthy took over there');
    await lab.heal();
    const healedAtMs = monotonicMs();
    const winner = await cluster.oneHolder();
    const wonAtMs = monotonicMs();
    assert.notEqual(winner, minority, cluster.describe(healedAtMs));
    assert.ok(
      lab.timeline.longestOverlapMs(VIP_IPV4, healedAtMs) <= ELECTION_MS,
      cluster.describe(healedAtMs),
    );
    cluster.apiServer(minority).recover();
    assert.equal(await cluster.settled(), winner);
    await assertVipStayed(cluster, winner, wonAtMs);
  });

  test('a slow segment moves nothing', async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    for (const host of lab.everyone) await slowDown(lab, host);
    await eventually(() => monotonicMs() >= fromMs + SLOW_MS, { what: 'the segment to be slow for a while' });
    t.diagnostic(`slow: ${describeDisruption(cluster.client().disruption(fromMs))}`);
    await assertVipStayed(cluster, holder, fromMs);
    for (const host of lab.everyone)
      await run('tc', ['-n', lab.bridgeNamespace, 'qdisc', 'del', 'dev', host.name, 'root']);
    assert.equal(await cluster.settled(), holder);
  });
});

const DROP_VRRP = [
  'add table inet lab',
  'add chain inet lab in { type filter hook input priority 0; }',
  'add rule inet lab in ip protocol 112 drop',
];
const SLOW_MS = 8000;

const run = promisify(execFile);

async function nft(namespace: string, ...rules: readonly string[]): Promise<void> {
  await run('ip', ['netns', 'exec', namespace, 'nft', rules.join('; ')]);
}

/**
 * What one host sends does not reach these others, by the bridge; the other way is open, and so is the way to clients.
 */
async function dropFrames(lab: Lab, from: Host, to: readonly Host[]): Promise<void> {
  await nft(
    lab.bridgeNamespace,
    'add table bridge lab',
    'add chain bridge lab forward { type filter hook forward priority 0; }',
    ...to.map(({ name }) => `add rule bridge lab forward iifname ${from.name} oifname ${name} drop`),
  );
}

async function passAllFrames(lab: Lab): Promise<void> {
  await nft(lab.bridgeNamespace, 'flush ruleset');
}

/** Two megabits a second toward this host, and what waits longer than a fifth of a second is dropped. */
async function slowDown(lab: Lab, { name }: Host): Promise<void> {
  const bucket = ['tbf', 'rate', '2mbit', 'burst', '4kb', 'latency', '200ms'];
  await run('tc', ['-n', lab.bridgeNamespace, 'qdisc', 'replace', 'dev', name, 'root', ...bucket]);
}
