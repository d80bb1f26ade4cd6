/** The evidence of a failed scenario. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { CLUSTER } from './addresses.ts';
import { type KindCluster, STATUS } from './cluster.ts';
import { attempt } from './command.ts';
import { watchPath } from './watch.ts';

/** Every TCP socket with its process, its queues, and when bytes were last sent and received. */
const SOCKETS = 'ss --tcp --numeric --processes --info';
const DIRECT_WATCH_SECONDS = 3;

/** What the machine has of the cluster, as files in `folder`: for people who were not there. */
export async function collectFrom(cluster: KindCluster, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await attempt([cluster.images.kind, 'export', 'logs', '--name', CLUSTER, folder], { deadlineMs: 120_000 });
  const { timeline } = cluster.holders;
  writeFileSync(join(folder, 'holders.txt'), cluster.vips.map((vip) => timeline.describe(vip)).join('\n'));
  const { access } = cluster;
  if (access !== null) writeFileSync(join(folder, 'client.txt'), access.client.describe(0));
  const script = `ip addr; ip route; ${STATUS}; ${SOCKETS}; crictl ps -a || true`;
  for (const node of cluster.controlPlanes) await node.report(script, folder);
  const { stdout: sockets } = await attempt(['sh', '-c', SOCKETS]);
  writeFileSync(join(folder, 'client-sockets.txt'), sockets);
  writeFileSync(join(folder, 'api-servers.txt'), await watchedDirectly(cluster));
}

/** What each API server itself tells who watches the object of the watch, without the VIP. */
async function watchedDirectly(cluster: KindCluster): Promise<string> {
  const path = watchPath(DIRECT_WATCH_SECONDS);
  const asked = cluster.controlPlanes.map(async (node) => {
    const told = await cluster.askDirectly(node, path).catch((error: Error) => error.message);
    return `${node.name}: ${told}\n`;
  });
  return (await Promise.all(asked)).join('');
}
