/** The losses that the benchmark compares. Each breaks something of the holder, or of all; `repair` puts it back. */
import { setTimeout as delay } from 'node:timers/promises';

import type { Host } from '../../kit/host.ts';
import type { Contender } from './contender.ts';

export type Scenario = {
  readonly name: string;
  readonly act: (contender: Contender, holder: Host) => void | Promise<void>;
};

const ELECTION_MS = 5000;

export const SCENARIOS: readonly Scenario[] = [
  // What the machine itself costs in as long a window.
  { name: 'nothing happens', act: () => {} },
  { name: 'link cut', act: (_, holder) => holder.linkDown() },
  { name: 'power off', act: (contender, holder) => contender.powerOff(holder) },
  { name: 'daemon kill -9', act: (contender, holder) => contender.signal(holder, 'SIGKILL') },
  { name: 'daemon SIGSTOP', act: (contender, holder) => contender.signal(holder, 'SIGSTOP') },
  { name: 'daemon SIGTERM', act: (contender, holder) => contender.signal(holder, 'SIGTERM') },
  { name: 'apiserver kill -9', act: (contender, holder) => contender.apiServer(holder).kill() },
  { name: 'apiserver SIGSTOP', act: (contender, holder) => contender.apiServer(holder).freeze() },
  {
    name: 'all apiservers unhealthy for 5 s',
    act: async (contender) => {
      for (const host of contender.hosts) contender.apiServer(host).fail();
      await delay(ELECTION_MS);
      for (const host of contender.hosts) contender.apiServer(host).recover();
    },
  },
];
