/** How long the machine itself stands still: what no program on it could have helped. */
import { LabProcess } from '../kit/lab-process.ts';
import type { Lab } from '../kit/lab.ts';

const INTERVAL_US = 10_000;
const HIGHEST_PRIORITY = 99;

/**
 * The longest that threads of the highest real-time priority, one on each core, wait for it in so many seconds, ms
 * (cyclictest(8)). Where this is long, something outside this machine's kernel had the core, such as a hypervisor.
 */
export async function longestMachineStallMs(lab: Lab, seconds: number): Promise<number> {
  const lines: string[] = [];
  const measure = ['--smp', `--priority=${HIGHEST_PRIORITY}`, `--interval=${INTERVAL_US}`];
  const cyclictest = new LabProcess({
    namespace: null,
    command: ['cyclictest', '--quiet', '--default-system', ...measure, `--duration=${seconds}`],
    onLine: (line) => lines.push(line),
  });
  lab.track(cyclictest);
  const { code } = await cyclictest.exited;
  const maximaUs = lines.flatMap((line) => /Max:\s*(\d+)/.exec(line)?.[1] ?? []).map(Number);
  if (code !== 0 || maximaUs.length === 0) throw new Error(`cyclictest failed: ${cyclictest.stderr}`);
  return Math.max(...maximaUs) / 1000;
}
