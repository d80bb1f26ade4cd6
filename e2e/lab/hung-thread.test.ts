/** A thread of the holder hangs while the others go on: a node that cannot serve does not keep the VIP. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster } from '../kit/cluster.ts';
import { freezeThread } from '../kit/frozen-thread.ts';
import { createLab, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** From the moment at which the thread hangs until clients of the VIP are served by another node. */
const SERVED_AGAIN_MS = 3000;

describe('a hung thread of the holder', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  beforeEach(async () => cluster.repair());
  after(async () => lab.remove());

  // The proxy second: whether a node is better off counts once its API server has been good for some seconds.
  for (const thread of ['services', 'proxy0']) {
    test(`${thread}: another node serves the clients within seconds, and the holder comes back when it moves`, async (t) => {
      const holder = await cluster.settled();
      const daemon = cluster.daemon(holder);
      const fromMs = monotonicMs();
      let thaw = async (): Promise<void> => undefined;
      const disruption = await cluster.disrupt(
        async () => {
          thaw = await freezeThread(daemon, thread);
        },
        () => cluster.oneHolder((host) => host !== holder),
      );
      t.diagnostic(describeDisruption(disruption));
      await thaw();
      assert.ok(disruption.outageMs <= SERVED_AGAIN_MS, cluster.describe(fromMs));
      assert.match(daemon.complaints, new RegExp(`the ${thread} thread has not moved for`));
      await cluster.settled();
      await daemon.logged(
        'that all threads move',
        ({ event, level }) => event === 'supervision' && level === 'info',
        {
          fromMs,
        },
      );
    });
  }

  test('a thread that hangs for more than ten seconds is the end of the process', async () => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    await freezeThread(daemon, 'proxy0');
    const exit = await daemon.exited;
    assert.deepEqual(exit, { code: 1, signal: null }, cluster.describe(fromMs));
    assert.match(daemon.complaints, /giving up the VIP and ending/);
  });
});
