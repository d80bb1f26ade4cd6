/** The holder is lost without a word. */
import { VIP_IPV4 } from '../addresses.ts';
import type { KindCluster } from '../cluster.ts';
import type { Node } from '../node.ts';
import { describeEffect, expectOutage, type Scenario } from '../scenario.ts';

/**
 * The lab has the figures; here three control planes share the machine with the one that is lost, so this only tells a
 * takeover by kube-vrrp from clients that wait for something slower (kubelet, leases: 10 s and more).
 */
const OUTAGE_LIMIT_MS = 6000;

async function lose(
  cluster: KindCluster,
  act: (holder: Node) => Promise<unknown>,
  restore: (holder: Node) => Promise<unknown>,
): Promise<string> {
  const holder = await cluster.oneHolder();
  const since = new Date();
  const effect = await cluster.effectOf(
    () => act(holder),
    () => cluster.oneHolder(VIP_IPV4, (node) => node !== holder),
  );
  await restore(holder);
  await cluster.lookAgain();
  expectOutage(effect, OUTAGE_LIMIT_MS);
  await cluster.settled();
  await cluster.expectMoves(since, 'active_silent');
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
