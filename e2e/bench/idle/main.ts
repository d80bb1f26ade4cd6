/**
 * `npm run bench:idle -- [--clients 9700]`: what a whole kube-vrrp has in memory while so many clients are connected
 * and say nothing, on the holder, which carries them, and on a Backup, which knows of them.
 */
import { parseArgs } from 'node:util';

import { formatTable } from '../../kit/timeline.ts';
import { Cluster, PROXY_PORT } from '../../kit/cluster.ts';
import { type Cost, formatCost, measureCost } from '../../kit/cost.ts';
import type { Host } from '../../kit/host.ts';
import { createLab, VIP_IPV4 } from '../../kit/lab.ts';
import { enterLab } from '../../kit/privileges.ts';
import { Readers } from '../../kit/readers.ts';

/** What a limit of 20,000 open files allows. */
const DEFAULT_CLIENTS = '9700';
const TARGET_MIB = 150;

async function measure(cluster: Cluster): Promise<[holder: Cost, backup: Cost]> {
  const holder = await cluster.oneHolder();
  const [backup] = cluster.others(holder) as [Host];
  const costOf = (host: Host): Promise<Cost> => measureCost(cluster.daemon(host).pid);
  return Promise.all([costOf(holder), costOf(backup)]);
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { clients: { type: 'string', default: DEFAULT_CLIENTS } } });
  const count = Number(values.clients);
  if (!Number.isInteger(count) || count < 1) {
    console.error('usage: npm run bench:idle -- [--clients N]');
    return 2;
  }
  await enterLab();
  const lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
  try {
    const cluster = await Cluster.start(lab);
    await cluster.settled();
    await cluster.stopClients();
    const before = await measure(cluster);
    const readers = new Readers(lab.client, { host: VIP_IPV4, port: PROXY_PORT, count });
    await readers.allConnected();
    const during = await measure(cluster);
    const connected = readers.connected;
    await readers.stop();
    const row = (clients: number, [holder, backup]: [Cost, Cost]): string[] => [
      clients.toLocaleString('en'),
      ...formatCost(holder),
      ...formatCost(backup),
    ];
    for (const line of formatTable([
      ['idle clients', 'holder', '', 'Backup', ''],
      row(0, before),
      row(connected, during),
    ])) {
      console.log(line);
    }
    console.log(`\ntarget: at most ${TARGET_MIB} MiB`);
    return during[0].residentMib <= TARGET_MIB ? 0 : 1;
  } finally {
    await lab.remove();
  }
}

process.exit(await main());
