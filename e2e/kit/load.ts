/** A cluster under full load: every core busy with something else, and the proxy moving as much as it can. */
import { cpus } from 'node:os';
import { join } from 'node:path';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { type Cluster, PROXY_PORT } from './cluster.ts';
import type { Metric } from './daemon.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import { LabProcess } from './lab-process.ts';
import { VIP_IPV4 } from './lab.ts';

const DOWNLOADS = 4;
const LATENESS = 'kube_vrrp_advertisement_lateness_seconds';

export type LoadReport = {
  readonly seconds: number;
  /** What the client got through the VIP, a second. */
  readonly mibPerSecond: number;
  /** Changes of state on any host, as the logs have them. */
  readonly transitions: readonly string[];
  /** How late the holder's advertisements were: how many up to so many ms; Infinity for the rest. */
  readonly lateness: readonly { readonly upToMs: number; readonly count: number }[];
};

/** Keeps the load up for so long while nothing else happens. The cluster is settled before, and has one holder. */
export async function underLoad(cluster: Cluster, holder: Host, seconds: number): Promise<LoadReport> {
  const { lab } = cluster;
  await cluster.stopClients();
  const earlier = await latenessOf(cluster, holder);
  const fromMs = monotonicMs();
  const burners = cpus().map(() => {
    const burner = new LabProcess({ namespace: null, command: ['sh', '-c', 'while :; do :; done'] });
    lab.track(burner);
    return burner;
  });
  let octets = 0;
  const client = lab.client.spawn({
    command: [
      process.execPath,
      join(import.meta.dirname, 'bulk-process.ts'),
      `https://${VIP_IPV4}:${PROXY_PORT}/bulk`,
      cluster.caFile,
      String(DOWNLOADS),
    ],
    onLine: (line) => (octets = Number(line)),
  });
  try {
    await eventually(() => monotonicMs() >= fromMs + seconds * 1000, {
      what: 'time to pass',
      deadlineMs: seconds * 1000 + 60_000,
    });
  } finally {
    await Promise.all([...burners, client].map((running) => running.kill()));
  }
  const later = await latenessOf(cluster, holder);
  return {
    seconds,
    mibPerSecond: octets / 2 ** 20 / seconds,
    transitions: cluster.hosts.flatMap((host) =>
      cluster
        .daemon(host)
        .transitions(fromMs)
        .map(({ msg }) => `${host.name}: ${msg}`),
    ),
    lateness: later.map(({ upToMs, count }, index) => ({
      upToMs,
      count: count - (earlier[index]?.count ?? 0),
    })),
  };
}

/** `<= 1 ms: 550, <= 5 ms: 40, more: 0`, without empty buckets but the last. */
export function formatLateness(lateness: LoadReport['lateness']): string {
  return lateness
    .filter(({ upToMs, count }) => count > 0 || upToMs === Infinity)
    .map(({ upToMs, count }) => `${upToMs === Infinity ? 'more' : `<= ${upToMs} ms`}: ${count}`)
    .join(', ');
}

/** The histogram of the host's latest snapshot, each bucket by itself. */
async function latenessOf(cluster: Cluster, host: Host): Promise<{ upToMs: number; count: number }[]> {
  const metrics = await cluster.daemon(host).metrics();
  const boundOf = ({ labels }: Metric): number =>
    labels['le'] === '+Inf' ? Infinity : Number(labels['le']) * 1000;
  const buckets = metrics
    .filter(({ name }) => name === `${LATENESS}_bucket`)
    .toSorted((a, b) => boundOf(a) - boundOf(b));
  return buckets.map((bucket, index) => ({
    upToMs: boundOf(bucket),
    count: bucket.value - (buckets[index - 1]?.value ?? 0),
  }));
}
