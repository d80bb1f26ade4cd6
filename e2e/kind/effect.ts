/** What clients and kernels see of the cluster while something happens to it. */
import type { Disruption } from '../kit/client.ts';
import { VIP_IPV4 } from './addresses.ts';
import type { KindCluster } from './cluster.ts';
import type { Node } from './node.ts';

/** Why a Backup becomes the Active, as its log has it. */
export type MoveCause = 'active_silent' | 'active_resigned';

/** What those who use the cluster have seen. */
export type Effect = Disruption & {
  /** How often the IPv4 VIP has come to another node. */
  readonly moves: number;
  /** The longest time in one piece with a VIP in two kernels, ms. */
  readonly overlapMs: number;
};

/** What clients and the kernels have seen since `fromMs` (monotonicMs). */
export function effectSince(cluster: KindCluster, fromMs: number): Effect {
  const { timeline } = cluster.holders;
  const alone = timeline.spans(VIP_IPV4, fromMs).filter(({ holders }) => holders.length === 1);
  const names = alone.map(({ holders: [name] }) => name);
  return {
    ...cluster.client.disruption(fromMs),
    moves: names.filter((name, index) => index > 0 && name !== names[index - 1]).length,
    overlapMs: longestOverlapMs(cluster, fromMs),
  };
}

/** The longest time in one piece since `fromMs` (monotonicMs) with a VIP in two kernels, `node`'s among them, ms. */
export function longestOverlapMs(cluster: KindCluster, fromMs: number, node: Node | null = null): number {
  const { timeline } = cluster.holders;
  return Math.max(...cluster.vips.map((vip) => timeline.longestOverlapMs(vip, fromMs, node?.name)));
}

/** The same in full, for people. */
export function describeSince(cluster: KindCluster, fromMs: number): string {
  const { timeline } = cluster.holders;
  return [cluster.client.describe(fromMs), ...cluster.vips.map((vip) => timeline.describe(vip, fromMs))].join(
    '\n',
  );
}

/**
 * Throws unless a VIP has come to another node since `since` (wall-clock time) for this cause, or for none if that is
 * null. Besides, an Active that fell silent may be followed by another at any time: where three control planes share a
 * machine it may get no processor for a while.
 */
export async function expectMoves(cluster: KindCluster, since: Date, cause: MoveCause | null): Promise<void> {
  const promotions: string[] = [];
  for (const node of cluster.controlPlanes) {
    const log = await cluster.log(node, `--since-time=${since.toISOString()}`);
    promotions.push(...log.split('\n').filter((line) => line.includes('"to":"Active"')));
  }
  const isFor = (kind: string | null) => (line: string) => line.includes(`"cause":"${kind}"`);
  const wrong = promotions.find((line) => !isFor('active_silent')(line) && !isFor(cause)(line));
  if (wrong !== undefined) throw new Error(`the VIP moved for another cause than ${cause}: ${wrong}`);
  if (cause !== null && !promotions.some(isFor(cause))) throw new Error(`the VIP did not move for ${cause}`);
}
