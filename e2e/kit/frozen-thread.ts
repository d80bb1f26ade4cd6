/** Stops one thread of a daemon, as a hung system call or an endless loop does, while the others go on. */
import { join } from 'node:path';

import type { Daemon } from './daemon.ts';
import { eventually } from './eventually.ts';
import type { LabProcess } from './lab-process.ts';

const PROGRAM = join(import.meta.dirname, 'freeze-thread.py');

/** Resolves when the thread of that name (`services`, `network`, `proxy0`, ...) stands still; returns what thaws it. */
export async function freezeThread({ host, pid }: Daemon, name: string): Promise<() => Promise<void>> {
  const said: string[] = [];
  const freezer: LabProcess = host.spawn({
    command: ['python3', PROGRAM, String(pid), name],
    onLine: (line) => said.push(line),
  });
  await eventually(() => said.includes('frozen') || freezer.exit !== null, {
    what: `the ${name} thread to be frozen`,
  });
  if (freezer.exit !== null) throw new Error(freezer.stderr);
  // The kernel lets a thread go on whose tracer has ended.
  return () => freezer.kill();
}
