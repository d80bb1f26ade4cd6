/** Everything was off. */
import { monotonicMs } from '../../../src/runtime/clock.ts';
import { run } from '../command.ts';
import type { KindCluster } from '../cluster.ts';
import type { Scenario } from '../scenario.ts';
import { SETTLED_MS } from '../settled.ts';

/** Stopping takes kubelet's pods their grace; starting is systemd, containerd, kubelet, etcd. */
const STOP_MS = 120_000;

async function coldStart(cluster: KindCluster): Promise<string> {
  const names = [...cluster.controlPlanes, cluster.worker].map(({ name }) => name);
  await run(['docker', 'stop', '--time', '20', ...names], { deadlineMs: STOP_MS });
  const fromMs = monotonicMs();
  await run(['docker', 'start', ...names]);
  await cluster.lookAgain();
  const holder = await cluster.oneHolder();
  const vipMs = monotonicMs() - fromMs;
  await cluster.client.steady(fromMs, SETTLED_MS);
  const answersMs = monotonicMs() - fromMs;
  return `VIP on ${holder.name} after ${(vipMs / 1000).toFixed(1)} s, API servers answer through it after ${(answersMs / 1000).toFixed(1)} s`;
}

export const COLD_START: readonly Scenario[] = [
  {
    name: 'cold-start',
    what: 'every node stopped, and all started at once: the VIP comes back with nobody to help',
    limits: { outageMs: null, moves: 'anyhow' },
    run: coldStart,
  },
];
