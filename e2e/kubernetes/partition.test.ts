/**
 * A segment that falls apart under a real control plane: etcd and kube-apiserver on each host. Part of
 * `npm run test:kubernetes`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { assertVipStayed } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { findKubernetes } from '../kit/kubernetes.ts';
import { createLab, type Lab, VIP_IPV4 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** Until two that hear each other again have become one. */
const ELECTION_MS = 1000;
/** For an API server to notice that etcd has no quorum, or has one again. */
const QUORUM_MS = 60_000;

describe('a real control plane, split one against two', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    const startApiServers = findKubernetes();
    assert.ok(
      startApiServers !== null,
      'etcd and kube-apiserver must be on PATH: see e2e/kubernetes/build.sh',
    );
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab, { startApiServers });
  });
  after(async () => lab.remove());

  test('each side has a holder; the one without quorum falls to class C, and never wins when the segment is one again', async (t) => {
    const [minority] = cluster.hosts as [Host];
    await cluster.giveTo(minority);
    const rest = cluster.others(minority);
    const fromMs = monotonicMs();
    await lab.partition([minority], [...rest, lab.client]);
    await eventually(() => rest.some((host) => lab.holders(VIP_IPV4).includes(host)), {
      what: 'the side with quorum to have a holder',
    });
    await cluster.client().steady(monotonicMs(), QUORUM_MS);
    t.diagnostic(`with quorum: ${describeDisruption(cluster.client().disruption(fromMs))}`);
    await eventually(async () => (await cluster.daemon(minority).status()).class === 'C', {
      what: 'the side without quorum to be of class C',
      deadlineMs: QUORUM_MS,
      otherwise: () => cluster.describe(fromMs),
    });
    t.diagnostic(`without quorum: class C after ${(monotonicMs() - fromMs).toFixed(0)} ms`);
    assert.ok(lab.holders(VIP_IPV4).includes(minority), 'nobody healthy took over there');

    const healedAtMs = monotonicMs();
    await lab.heal();
    const winner = await cluster.oneHolder();
    const wonAtMs = monotonicMs();
    const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, healedAtMs);
    t.diagnostic(`healed: ${winner.name} has it, two holders for another ${overlapMs.toFixed(0)} ms`);
    assert.notEqual(winner, minority, cluster.describe(healedAtMs));
    assert.ok(overlapMs <= ELECTION_MS, cluster.describe(healedAtMs));
    await eventually(async () => (await cluster.daemon(minority).status()).class === 'A', {
      what: 'the API server of the minority to be healthy again',
      deadlineMs: QUORUM_MS,
      otherwise: () => cluster.describe(healedAtMs),
    });
    await cluster.client().steady(monotonicMs(), QUORUM_MS);
    t.diagnostic(`after healing: ${describeDisruption(cluster.client().disruption(healedAtMs))}`);
    await assertVipStayed(cluster, winner, wonAtMs);
  });
});
