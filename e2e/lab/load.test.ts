/** Timing under load, the short version; `npm run soak` is the long one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { Cluster } from '../kit/cluster.ts';
import { assertVipStayed } from '../kit/expectations.ts';
import { createLab } from '../kit/lab.ts';
import { formatLateness, underLoad } from '../kit/load.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

const SECONDS = 30;

test(`every core busy and the proxy at full throughput for ${SECONDS} s: no false failover at 100 ms`, async (t) => {
  const lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
  try {
    const cluster = await Cluster.start(lab);
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const report = await underLoad(cluster, holder, SECONDS);
    t.diagnostic(`${report.mibPerSecond.toFixed(0)} MiB/s through the VIP`);
    t.diagnostic(`advertisements late by ${formatLateness(report.lateness)}`);
    assert.deepEqual(report.transitions, [], cluster.describe(fromMs));
    await assertVipStayed(cluster, holder, fromMs);
    assert.ok(report.mibPerSecond > 1, 'the client got next to nothing: there was no load on the proxy');
    const sent = report.lateness.reduce((sum, { count }) => sum + count, 0);
    assert.ok(sent >= SECONDS * 9, `${sent} advertisements in ${SECONDS} s`);
  } finally {
    await lab.remove();
  }
});
