/** `npm run e2e`: a real kubeadm cluster by kind, whose only way in is the VIP, and what it has to survive. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { monotonicMs } from '../../src/net/clock.ts';
import { formatTable, Timeline } from '../demo/timeline.ts';
import { KindCluster } from './cluster.ts';
import { Engine } from './engine.ts';
import { prepareImages } from './images.ts';
import type { Scenario } from './scenario.ts';
import { API_SERVERS } from './scenarios/api-servers.ts';
import { COLD_START } from './scenarios/cold-start.ts';
import { CREATED } from './scenarios/created.ts';
import { LOSSES } from './scenarios/losses.ts';
import { PLANNED } from './scenarios/planned.ts';

const SCENARIOS: readonly Scenario[] = [...CREATED, ...LOSSES, ...PLANNED, ...API_SERVERS, ...COLD_START];

const USAGE = `usage: npm run e2e -- [--only NAME]... [--keep] [--reuse]
  --only NAME  run this scenario alone; may be repeated
  --keep       leave the cluster, and the engine if it was started for it, as they are in the end
  --reuse      take the cluster that a run with --keep has left
scenarios:
${SCENARIOS.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join('\n')}`;

type Options = { readonly scenarios: readonly Scenario[]; readonly keep: boolean; readonly reuse: boolean };
type Result = {
  readonly name: string;
  readonly seconds: number;
  readonly ok: boolean;
  readonly text: string;
};

const timeline = new Timeline();
const say = (text: string): void => timeline.say('lab', 'e2e', text);

/** Null when what was given makes no sense. */
function readOptions(): Options | null {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', multiple: true },
        keep: { type: 'boolean', default: false },
        reuse: { type: 'boolean', default: false },
      },
    });
    const only = values.only ?? [];
    if (only.some((wanted) => SCENARIOS.every(({ name }) => name !== wanted))) return null;
    const scenarios = only.length === 0 ? SCENARIOS : SCENARIOS.filter(({ name }) => only.includes(name));
    return { scenarios, keep: values.keep, reuse: values.reuse };
  } catch {
    return null;
  }
}

async function perform(cluster: KindCluster, scenario: Scenario): Promise<Result> {
  const fromMs = monotonicMs();
  timeline.print('step', `\n${scenario.name}: ${scenario.what}`);
  const finish = (ok: boolean, text: string): Result => {
    timeline.say(ok ? 'vip' : 'problem', scenario.name, text);
    return { name: scenario.name, seconds: (monotonicMs() - fromMs) / 1000, ok, text };
  };
  try {
    const text = await scenario.run(cluster);
    await cluster.settled();
    return finish(true, text);
  } catch (error) {
    return finish(false, (error as Error).message);
  }
}

function summarize(results: readonly Result[]): void {
  const rows = results.map(({ name, seconds, ok, text }) => [
    name,
    `${seconds.toFixed(0)} s`,
    ok ? 'passed' : 'FAILED',
    text.split('\n')[0] ?? '',
  ]);
  timeline.print('step', '');
  for (const line of formatTable([['scenario', 'took', '', ''], ...rows])) timeline.print('daemon', line);
}

async function collect(cluster: KindCluster): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-e2e-logs-'));
  await cluster.collect(folder);
  timeline.say('problem', 'e2e', `what every node, pod and client said is in ${folder}`);
}

/** Null when there was no cluster to try anything on. */
async function play({ scenarios, keep, reuse }: Options): Promise<readonly Result[] | null> {
  const images = await prepareImages(say);
  say(
    `${reuse ? 'taking the' : 'creating a'} cluster of ${images.node}, Kubernetes ${images.kubernetesVersion}`,
  );
  let cluster: KindCluster | null = null;
  const abandon = async (halfMade: KindCluster): Promise<void> => {
    await collect(halfMade);
    if (!keep) await halfMade.remove();
  };
  const interrupt = (): void => {
    timeline.say('problem', 'e2e', 'interrupted, removing the cluster');
    void (cluster === null ? Promise.resolve() : cluster.remove()).finally(() => process.exit(130));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    cluster = reuse
      ? await KindCluster.reuse({ images, say })
      : await KindCluster.create({ images, say }, abandon);
    await cluster.settled();
    say('every node is Ready and answers through the VIP');
    const results: Result[] = [];
    for (const scenario of scenarios) {
      const result = await perform(cluster, scenario);
      results.push(result);
      // What comes after would only show that something is broken already.
      if (!result.ok) break;
    }
    if (results.some(({ ok }) => !ok)) await collect(cluster);
    return results;
  } finally {
    if (keep) {
      await cluster?.disconnect();
      say('the cluster stays: docker ps shows its nodes');
    } else {
      await cluster?.remove();
    }
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    console.error(USAGE);
    return 2;
  }
  const engine = await Engine.find(say);
  try {
    const results = await play(options);
    if (results === null) return 1;
    summarize(results);
    const passed = results.filter(({ ok }) => ok).length;
    const failed = options.scenarios.length - passed;
    console.log(`\n${passed} passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    timeline.say('problem', 'e2e', (error as Error).message);
    console.log(`\n0 passed, ${options.scenarios.length} failed`);
    return 1;
  } finally {
    if (!options.keep) await engine.stop();
  }
}

process.exit(await main());
