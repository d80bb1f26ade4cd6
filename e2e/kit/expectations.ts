/** What scenarios assert again and again about the holders of a VIP. */
import assert from 'node:assert/strict';

import { LINGER_MAX_MS } from '../../src/proxy/lingering.ts';
import type { Cluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import { VIP_IPV4 } from './lab.ts';

/** The kernel takes the VIP from a daemon that is dead or stopped within 2.5 s. */
export const FENCE_MS = 2500;

/** For as long as it takes an Active to hear of another one, and to act. */
const OVERLAP_MS = 350;
/** A planned handover shows both holders for as long as the old one finishes requests, and it takes to tell. */
export const HANDOVER_OVERLAP_MS = LINGER_MAX_MS + 150;

/** At no time since `fromMs` did two hosts have the VIP for more than `overlapMs`. */
export function assertNoTwoHolders(
  cluster: Cluster,
  fromMs: number,
  vip = VIP_IPV4,
  overlapMs = OVERLAP_MS,
): void {
  const longestMs = cluster.lab.timeline.longestOverlapMs(vip, fromMs);
  assert.ok(
    longestMs <= overlapMs,
    `two holders for ${longestMs.toFixed(0)} ms\n${cluster.describe(fromMs)}`,
  );
}

/** At every moment since `fromMs`, exactly this host had the VIP: it did not move, and nobody else had it. */
export async function assertVipStayed(
  cluster: Cluster,
  holder: Host,
  fromMs: number,
  vip = VIP_IPV4,
): Promise<void> {
  // Until now: what is asked right after `fromMs` may not have been looked at even once.
  await cluster.lab.lookAgain();
  const spans = cluster.lab.timeline.spans(vip, fromMs);
  const stayed = spans.length === 1 && spans[0]?.holders.join() === holder.name;
  assert.ok(stayed, `the VIP moved from ${holder.name}\n${cluster.describe(fromMs)}`);
}

/** Waits until a host's kernel has lost the VIP and returns how long after `fromMs` that was, ms. */
export async function vipGone(cluster: Cluster, host: Host, fromMs: number, vip = VIP_IPV4): Promise<number> {
  const { timeline } = cluster.lab;
  await cluster.lab.lookAgain();
  const left = await eventually(
    () => !timeline.holders(vip).includes(host.name) && timeline.spans(vip, fromMs),
    { what: `${vip} to leave ${host.name}`, otherwise: () => cluster.describe(fromMs) },
  );
  const last = left.findLast(({ holders }) => holders.includes(host.name));
  return last === undefined ? 0 : last.toMs - fromMs;
}
