/** The holder is lost without a word. */
import { monotonicMs } from '../../../src/runtime/clock.ts';
import { eventually } from '../../kit/eventually.ts';
import { VIP_IPV4 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import { describeSince, longestOverlapMs } from '../effect.ts';
import { serves } from '../readiness.ts';
import type { Node } from '../node.ts';
import { LOSS_OUTAGE_LIMIT_MS, type Limits, type Scenario } from '../scenario.ts';
import { SETTLED_MS } from '../settled.ts';

const LIMITS: Limits = { outageMs: LOSS_OUTAGE_LIMIT_MS, moves: 'active_silent' };
/** A node that comes back has nothing to hold: longer than one look at its kernel is too long. */
const RETURN_OVERLAP_LIMIT_MS = 250;

async function lose(
  cluster: KindCluster,
  act: (holder: Node) => Promise<unknown>,
  restore: (holder: Node) => Promise<unknown>,
): Promise<string> {
  const holder = await cluster.oneHolder();
  await act(holder);
  await cluster.oneHolder(VIP_IPV4, (node) => node !== holder);
  await serves(cluster, cluster.others(holder));
  const backAtMs = monotonicMs();
  await restore(holder);
  await isBackup(cluster, holder);
  const overlapMs = longestOverlapMs(cluster, backAtMs, holder);
  if (overlapMs > RETURN_OVERLAP_LIMIT_MS) {
    throw new Error(
      `${holder.name} came back as a second holder for ${overlapMs.toFixed(0)} ms:\n${describeSince(cluster, backAtMs)}`,
    );
  }
  return '';
}

/** Waits until kube-vrrp on this node follows others for every VIP, and says so. */
async function isBackup(cluster: KindCluster, node: Node): Promise<void> {
  await eventually(
    async () => {
      const routers = (await cluster.status(node))?.virtualRouters ?? [];
      return routers.length > 0 && routers.every(({ state }) => state === 'Backup');
    },
    { what: `kube-vrrp on ${node.name} to be a Backup`, deadlineMs: SETTLED_MS },
  );
}

export const LOSSES: readonly Scenario[] = [
  {
    name: 'holder-killed',
    what: 'docker kill of the holder, and start',
    limits: LIMITS,
    run: (cluster) =>
      lose(
        cluster,
        async (holder) => {
          await holder.kill();
          // Its kernel's tables would live on in the sampler that reads them.
          await cluster.lookAgain();
        },
        async (holder) => {
          await holder.start();
          await cluster.lookAgain();
        },
      ),
  },
  {
    name: 'holder-paused',
    what: 'docker pause of the holder, and unpause: it must not believe that it still holds the VIP',
    limits: LIMITS,
    run: (cluster) =>
      lose(
        cluster,
        (holder) => holder.pause(),
        (holder) => holder.unpause(),
      ),
  },
  {
    name: 'holder-disconnected',
    what: 'the network of the holder taken away, and given back with another MAC address',
    limits: LIMITS,
    run: (cluster) =>
      lose(
        cluster,
        (holder) => holder.disconnect(),
        (holder) => holder.connect(),
      ),
  },
];
