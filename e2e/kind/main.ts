/** `npm run e2e`: a real kubeadm cluster by kind, whose only way in is the VIP, and what it has to survive. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { formatTable, Timeline } from '../kit/timeline.ts';
import { KindCluster } from './cluster.ts';
import { settled } from './readiness.ts';
import { collectFrom } from './collection.ts';
import { Engine } from './engine.ts';
import { MachinesByHand } from './by-hand.ts';
import { prepareImages, type Images } from './images.ts';
import { play, type Scenario } from './scenario.ts';
import { API_SERVERS } from './scenarios/api-servers.ts';
import { BAD_SITUATIONS } from './scenarios/bad-situations.ts';
import { COLD_START } from './scenarios/cold-start.ts';
import { CREATED } from './scenarios/created.ts';
import { DOCUMENTED } from './scenarios/documented.ts';
import { KIND_PAGE, KindPage } from './scenarios/kind-page.ts';
import { LOSSES } from './scenarios/losses.ts';
import { PLANNED } from './scenarios/planned.ts';

/** On one cluster after the other; each finds it as it was made. */
const SCENARIOS: readonly Scenario[] = [
  ...CREATED,
  ...LOSSES,
  ...PLANNED,
  ...API_SERVERS,
  ...BAD_SITUATIONS,
  ...COLD_START,
];

const ALL = [...SCENARIOS, ...DOCUMENTED, KIND_PAGE];
const NAMES = ALL.map(({ name }) => name);

const USAGE = `usage: npm run e2e -- [--only NAME]... [--keep] [--reuse]
  --only NAME  run this scenario alone; may be repeated
  --keep       leave the last cluster, and the engine if it was started for it, as they are in the end
  --reuse      take the cluster that a run with --keep has left
KUBERNETES=1.20, 1.34, 1.35, 1.36 or 1.37 in the environment builds a node image of that version
scenarios:
${ALL.map(({ name, what }) => `  ${name.padEnd(20)} ${what}`).join('\n')}`;

type Options = { readonly chosen: ReadonlySet<string>; readonly keep: boolean; readonly reuse: boolean };
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
    const only = values.only ?? NAMES;
    if (only.some((name) => !NAMES.includes(name))) return null;
    return { chosen: new Set(only), keep: values.keep, reuse: values.reuse };
  } catch {
    return null;
  }
}

async function perform(
  { name, what }: Pick<Scenario, 'name' | 'what'>,
  run: () => Promise<string>,
): Promise<Result> {
  const fromMs = monotonicMs();
  timeline.print('step', `\n${name}: ${what}`);
  const finish = (ok: boolean, text: string): Result => {
    timeline.say(ok ? 'vip' : 'problem', name, text);
    return { name, seconds: (monotonicMs() - fromMs) / 1000, ok, text };
  };
  try {
    return finish(true, await run());
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

async function collect(collectInto: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-e2e-logs-'));
  await collectInto(folder);
  timeline.say('problem', 'e2e', `what every node, pod and client said is in ${folder}`);
}

/** Called when the suite is interrupted, with what has to be removed then. */
let removeAll: () => Promise<void> = async () => undefined;

function onInterrupt(engine: Engine): void {
  const interrupt = (): void => {
    timeline.say('problem', 'e2e', 'interrupted, removing what was made');
    void removeAll()
      .then(() => engine.stop())
      .finally(() => process.exit(130));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
}

async function playOnKind(images: Images, { chosen, keep, reuse }: Options): Promise<Result[]> {
  const scenarios = SCENARIOS.filter(({ name }) => chosen.has(name));
  if (scenarios.length === 0) return [];
  // What comes afterwards needs its addresses, or its share of the machine.
  const makesRoom = [...DOCUMENTED, KIND_PAGE].some(({ name }) => chosen.has(name));
  say(
    `${reuse ? 'taking the' : 'creating a'} cluster of ${images.node}, Kubernetes ${images.kubernetesVersion}`,
  );
  const results: Result[] = [];
  const made = new KindCluster({ images, say });
  removeAll = () => made.remove();
  try {
    await (reuse ? made.reuse() : made.create());
    await settled(made);
    say('every node is Ready and answers through the VIP');
    for (const scenario of scenarios) {
      const result = await perform(scenario, () => play(made, scenario));
      results.push(result);
      // What comes after would only show that something is broken already.
      if (!result.ok) break;
    }
    if (results.some(({ ok }) => !ok)) await collect((folder) => collectFrom(made, folder));
  } catch (error) {
    await collect((folder) => collectFrom(made, folder));
    throw error;
  } finally {
    const isBroken = results.length < scenarios.length || results.some(({ ok }) => !ok);
    await (keep && (isBroken || !makesRoom) ? made.disconnect() : made.remove());
  }
  return results;
}

/** Plays on what is there for one scenario alone, collects when it fails, and removes it unless it is kept. */
async function playOn(
  place: Pick<MachinesByHand, 'collect' | 'remove'>,
  keep: boolean,
  run: () => Promise<string>,
): Promise<string> {
  removeAll = () => place.remove();
  try {
    return await run();
  } catch (error) {
    await collect((folder) => place.collect(folder));
    throw error;
  } finally {
    if (!keep) await place.remove();
  }
}

async function playByHand(images: Images, { chosen, keep }: Options): Promise<Result[]> {
  const results: Result[] = [];
  for (const scenario of DOCUMENTED.filter(({ name }) => chosen.has(name))) {
    const result = await perform(scenario, async () => {
      const group = new MachinesByHand(images, say);
      return playOn(group, keep, async () => {
        await group.boot();
        return scenario.run(group, images);
      });
    });
    results.push(result);
    if (!result.ok) break;
  }
  return results;
}

async function playOnHost(images: Images, { chosen, keep }: Options): Promise<Result[]> {
  if (!chosen.has(KIND_PAGE.name)) return [];
  const page = new KindPage(images, say);
  const result = await perform(KIND_PAGE, async () => {
    // What it refuses is not its own to remove.
    await page.open();
    return playOn(page, keep, () => KIND_PAGE.run(page));
  });
  return [result];
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    console.error(USAGE);
    return 2;
  }
  const engine = await Engine.find(say);
  onInterrupt(engine);
  const results: Result[] = [];
  try {
    const images = await prepareImages(say, options.reuse);
    for (const part of [playOnKind, playByHand, playOnHost]) {
      if (results.every(({ ok }) => ok)) results.push(...(await part(images, options)));
    }
  } catch (error) {
    timeline.say('problem', 'e2e', (error as Error).message);
  } finally {
    if (!options.keep) {
      await engine.removeOldBuilds(say);
      await engine.stop();
    }
  }
  summarize(results);
  const passed = results.filter(({ ok }) => ok).length;
  // What was not reached has not passed.
  const failed = options.chosen.size - passed;
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exit(await main());
