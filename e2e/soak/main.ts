/**
 * `npm run soak -- [--minutes 30]`: three hosts at 100 ms advertisements, every core busy with something else and the
 * proxy at full throughput. Prints each minute what was seen, beside how long the machine itself stood still; fails
 * when the VIP moved.
 */
import { parseArgs } from 'node:util';

import { Cluster } from '../kit/cluster.ts';
import { createLab, VIP_IPV4 } from '../kit/lab.ts';
import { formatLateness, underLoad } from '../kit/load.ts';
import { enterLab } from '../kit/privileges.ts';
import { longestMachineStallMs } from './machine-stall.ts';

const ROUND_SECONDS = 60;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' } } });
  const minutes = Number(values.minutes);
  if (!Number.isInteger(minutes) || minutes < 1) {
    console.error('usage: npm run soak -- [--minutes N]');
    return 2;
  }
  await enterLab();
  const lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
  try {
    const cluster = await Cluster.start(lab);
    const holder = await cluster.settled();
    const fromMs = lab.timeline.lastAtMs;
    let moves = 0;
    for (let minute = 1; minute <= minutes; minute += 1) {
      const [{ mibPerSecond, transitions, lateness }, stallMs] = await Promise.all([
        underLoad(cluster, holder, ROUND_SECONDS),
        longestMachineStallMs(lab, ROUND_SECONDS),
      ]);
      moves += transitions.length;
      console.log(
        `minute ${minute}: ${mibPerSecond.toFixed(0)} MiB/s, late by ${formatLateness(lateness)}; a real-time thread by up to ${stallMs.toFixed(1)} ms`,
      );
      for (const transition of transitions) console.log(`  ${transition}`);
    }
    console.log(lab.timeline.describe(VIP_IPV4, fromMs));
    console.log(
      moves === 0 ? `no transition in ${minutes} minutes` : `${moves} transitions in ${minutes} minutes`,
    );
    return moves === 0 ? 0 : 1;
  } finally {
    await lab.remove();
  }
}

process.exit(await main());
