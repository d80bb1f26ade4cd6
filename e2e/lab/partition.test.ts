/** A segment that falls apart and heals. VRRP allows a holder on each side meanwhile, and nothing beyond that. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/net/clock.ts';
import { describeDisruption } from './client.ts';
import { Cluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { createLab, VIP_IPV4, type Lab } from './lab.ts';
import { enterLab } from './privileges.ts';

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
  beforeEach(async () => cluster.repair());
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

      const healedAtMs = monotonicMs();
      await lab.heal();
      const winner = await cluster.oneHolder();
      const overlapMs = lab.timeline.longestOverlapMs(VIP_IPV4, healedAtMs);
      assert.ok(overlapMs <= ELECTION_MS, cluster.describe(healedAtMs));
      await cluster.client().steady(monotonicMs(), 60_000);
      const healing = cluster.client().disruption(healedAtMs);
      t.diagnostic(
        `healed: ${winner.name} has it, two holders for another ${overlapMs.toFixed(0)} ms; ${describeDisruption(healing)}`,
      );
      assert.ok(healing.outageMs <= ANNOUNCED_MS, cluster.describe(healedAtMs));
      assert.equal(await cluster.settled(), winner, 'the VIP moved once more after healing');
    });
  }
});
