/** The holder is lost without a word. */
import { VIP_IPV4 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import type { Node } from '../node.ts';
import { describeEffect, expectEffect, type Scenario } from '../scenario.ts';

/**
 * The lab has the figures; here three control planes share the machine with the one that is lost, so this only tells a
 * takeover by kube-vrrp from clients that wait for something slower (kubelet, leases: 10 s and more).
 */
const OUTAGE_LIMIT_MS = 4000;

async function lose(
  cluster: KindCluster,
  act: (holder: Node) => Promise<unknown>,
  restore: (holder: Node) => Promise<unknown>,
): Promise<string> {
  const holder = await cluster.oneHolder();
  const effect = await cluster.effectOf(
    () => act(holder),
    () => cluster.oneHolder(VIP_IPV4, (node) => node !== holder),
  );
  await restore(holder);
  await cluster.lookAgain();
  expectEffect(effect, { outageMs: OUTAGE_LIMIT_MS, moves: 1 });
  const successor = await cluster.oneHolder();
  await cluster.settled();
  const settled = await cluster.oneHolder();
  if (settled !== successor) {
    throw new Error(`the VIP moved from ${successor.name} to ${settled.name} when ${holder.name} came back`);
  }
  return describeEffect(effect);
}

export const LOSSES: readonly Scenario[] = [
  {
    name: 'holder-killed',
    what: 'docker kill of the holder, and start',
    run: (cluster) =>
      lose(
        cluster,
        async (holder) => {
          await holder.kill();
          // Its kernel's tables would live on in the sampler that reads them.
          await cluster.lookAgain();
        },
        (holder) => holder.start(),
      ),
  },
  {
    name: 'holder-paused',
    what: 'docker pause of the holder, and unpause: it must not believe that it still holds the VIP',
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
    run: (cluster) =>
      lose(
        cluster,
        (holder) => holder.disconnect(),
        (holder) => holder.connect(),
      ),
  },
];
