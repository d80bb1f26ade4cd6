/**
 * `npm run bench:failover -- [--rounds 20] [--minutes 60] [--scenarios 'link cut,daemon kill -9'] [--interval 100ms]
 * [--only kube-vrrp] [--out FOLDER]`:
 * kube-vrrp beside keepalived + haproxy, each on three hosts of a lab of its own, in interleaved rounds. Rounds that
 * the folder has already are not run again, so that it can be done in pieces.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { parseDuration } from '../../../src/config/duration.ts';
import { monotonicMs } from '../../../src/runtime/clock.ts';
import { formatTable } from '../../kit/timeline.ts';
import { PollingClient } from '../../kit/client.ts';
import type { Host } from '../../kit/host.ts';
import { createLab, type Lab, VIP_IPV4 } from '../../kit/lab.ts';
import { GUIDE } from '../../kit/kubeadm-guide.ts';
import { enterLab } from '../../kit/privileges.ts';
import { Readers } from '../../kit/readers.ts';
import { type Contender, KubeVrrp } from './contender.ts';
import { Keepalived } from './keepalived.ts';
import { drawSvg, summarize, tableOf } from './report.ts';
import type { Round, Timeline } from './round.ts';
import { type Scenario, SCENARIOS } from './scenarios.ts';
import { drawTimelines, TIMELINE_FROM_MS, TIMELINE_TO_MS } from './timeline.ts';

const READERS = 20;
const POLL_MS = 10;
/** Each loss is looked at for this long at least, and then until requests are answered steadily. */
const WINDOW_MS = 5000;
const STEADY_DEADLINE_MS = 90_000;
/**
 * Of processes that a round starts: on two cores, what they do in their first seconds takes from what is measured.
 * V8 collects a daemon's heaps until 9 s after its start, and optimizes the client until some 6 s after its own.
 */
const DAEMON_START_MS = 5000;
const CLIENT_START_MS = 6000;
/** Drawn, where they were measured. */
const DRAWN = ['link cut', 'daemon kill -9', 'daemon SIGTERM'];

async function measure(contender: Contender, holder: Host, { name, act }: Scenario): Promise<Round> {
  const { lab, port, caFile } = contender;
  const client = new PollingClient(lab.client, `https://${VIP_IPV4}:${port}/version`, caFile, {
    intervalMs: POLL_MS,
  });
  const readers = new Readers(lab.client, { host: VIP_IPV4, port, count: READERS });
  try {
    await readers.allConnected();
    await delay(CLIENT_START_MS);
    await client.steady(monotonicMs(), STEADY_DEADLINE_MS);
    if (!lab.holders(VIP_IPV4).includes(holder)) {
      throw new Error(
        `${name}: ${holder.name} of ${contender.name} has lost the VIP before anything was done to it`,
      );
    }
    const load = loadavg()[0] ?? Number.NaN;
    const fromMs = monotonicMs();
    await act(contender, holder);
    await delay(WINDOW_MS - Math.min(WINDOW_MS, monotonicMs() - fromMs));
    await client.steady(monotonicMs(), STEADY_DEADLINE_MS);
    const { longestGapMs, failed } = client.disruption(fromMs);
    const { ended, resumed } = readers.delays(fromMs);
    const spans = lab.timeline.spans(VIP_IPV4, fromMs).filter(({ holders }) => holders.length > 0);
    return {
      contender: contender.name,
      scenario: name,
      gapMs: longestGapMs,
      failedRequests: failed,
      watchMs: ended.length > 0 && readers.connected === READERS ? (resumed.at(-1) ?? null) : null,
      watchesEnded: ended.length,
      twoHoldersMs: lab.timeline.longestOverlapMs(VIP_IPV4, fromMs),
      vipMoves: Math.max(0, new Set(spans.flatMap(({ holders }) => holders)).size - 1),
      load,
      timeline: timelineOf(lab, client, fromMs),
    };
  } finally {
    await Promise.all([client.stop(), readers.stop()]);
  }
}

function timelineOf(lab: Lab, client: PollingClient, lossMs: number): Timeline {
  const round = (ms: number): number => Math.round(ms);
  return {
    requests: client
      .attempts(lossMs + TIMELINE_FROM_MS)
      .filter(({ startMs }) => startMs <= lossMs + TIMELINE_TO_MS)
      .map(({ startMs, endMs, ok }) => [round(startMs - lossMs), round(endMs - startMs), ok] as const),
    spans: lab.timeline
      .spans(VIP_IPV4, lossMs + TIMELINE_FROM_MS)
      .map(({ fromMs, toMs, holders }) => [
        round(fromMs - lossMs),
        round(toMs - lossMs),
        holders.map((name) => lab.hosts.findIndex((host) => host.name === name)),
      ]),
  };
}

/** One drawing needs one timeline of each kind; more would only make the file large. */
function withoutFurtherTimelines(rounds: readonly Round[]): Round[] {
  const seen = new Set<string>();
  return rounds.map((round) => {
    const key = `${round.scenario}\n${round.contender}`;
    if (DRAWN.includes(round.scenario) && !seen.has(key)) {
      seen.add(key);
      return round;
    }
    const { timeline: _timeline, ...rest } = round;
    return rest;
  });
}

function scenariosOf(names: string | undefined): readonly Scenario[] {
  if (names === undefined) return SCENARIOS;
  return names.split(',').map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name.trim());
    if (found !== undefined) return found;
    throw new Error(`no scenario '${name}': choose of ${SCENARIOS.map((known) => known.name).join(', ')}`);
  });
}

async function startContenders(labs: readonly Lab[], interval: string): Promise<Contender[]> {
  const [first, second, third] = labs as [Lab, Lab, Lab];
  const intervalMs = parseDuration(interval);
  if (intervalMs === null) throw new Error(`--interval ${interval} is no duration such as 100ms`);
  const tuned = { advertisementSeconds: intervalMs / 1000, checkIntervalSeconds: 1, checkFall: 3 };
  return [
    await KubeVrrp.start(`kube-vrrp ${interval}`, first, interval),
    await Keepalived.start('keepalived+haproxy (guide)', second, GUIDE),
    await Keepalived.start(`keepalived+haproxy (v3 ${interval})`, third, tuned),
  ];
}

const RESULTS = 'failover.json';

/** What earlier runs have left in the folder. */
function readRounds(folder: string): Round[] {
  const file = join(folder, RESULTS);
  if (!existsSync(file)) return [];
  const { rounds } = JSON.parse(readFileSync(file, 'utf8')) as { readonly rounds: readonly Round[] };
  return [...rounds];
}

/** To be called often: a run that is cut off goes on from here. */
function save(folder: string, allRounds: readonly Round[]): void {
  const rounds = withoutFurtherTimelines(allRounds);
  const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? '', node: process.version };
  const results = { machine, summaries: summarize(rounds), rounds };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, RESULTS), `${JSON.stringify(results, null, 1)}\n`);
}

function draw(folder: string, rounds: readonly Round[]): void {
  const summaries = summarize(rounds);
  writeFileSync(join(folder, 'failover.svg'), drawSvg(summaries));
  writeFileSync(join(folder, 'timeline.svg'), drawTimelines(rounds, DRAWN));
  console.log(formatTable(tableOf(summaries)).join('\n'));
}

function countOf(rounds: readonly Round[], { name }: Scenario, contender: string): number {
  return rounds.filter((known) => known.scenario === name && known.contender === contender).length;
}

/** Everything is well again; the host that has the VIP. */
async function prepare(contender: Contender): Promise<Host> {
  await contender.repair();
  await contender.settled();
  await delay(DAEMON_START_MS);
  return contender.settled();
}

function report(round: number, { scenario, contender, gapMs, failedRequests, watchMs }: Round): void {
  const watches = watchMs === null ? 'none ended' : `${watchMs.toFixed(0)} ms`;
  console.error(
    `${round}: ${scenario}, ${contender}: gap ${gapMs.toFixed(0)} ms, ${failedRequests} failed, watches back: ${watches}`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20' },
      minutes: { type: 'string', default: 'Infinity' },
      scenarios: { type: 'string' },
      interval: { type: 'string', default: '100ms' },
      only: { type: 'string', default: '' },
      out: { type: 'string', default: 'bench-results' },
    },
  });
  const scenarios = scenariosOf(values.scenarios);
  const deadlineMs = monotonicMs() + Number(values.minutes) * 60_000;
  await enterLab();
  const labs: Lab[] = [];
  const rounds = readRounds(values.out);
  try {
    for (let count = 0; count < 3; count += 1)
      labs.push(await createLab({ hosts: 3, clients: 1, ipv6: false }));
    const contenders = (await startContenders(labs, values.interval)).filter(({ name }) =>
      name.startsWith(values.only),
    );
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const scenario of scenarios) {
        if (monotonicMs() >= deadlineMs) break;
        const lacking = contenders.filter(({ name }) => countOf(rounds, scenario, name) < round);
        // All at the same time, as this is most of the waiting; what is measured is measured alone.
        const holders = await Promise.all(lacking.map(prepare));
        for (const [index, contender] of lacking.entries()) {
          const result = await measure(contender, holders[index]!, scenario);
          rounds.push(result);
          report(round, result);
        }
        save(values.out, rounds);
      }
    }
  } finally {
    if (rounds.length > 0) draw(values.out, rounds);
    await Promise.all(labs.map((lab) => lab.remove()));
  }
}

await main();
process.exit(0);
