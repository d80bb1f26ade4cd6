/**
 * `npm run bench:proxy -- [--rounds 5] [--measures down,up,connections,tls,latency,storm,idle] [--out FOLDER] [--add]
 * [--threads 1] [--profile]`:
 * kube-vrrp's proxy beside HAProxy, with its defaults and with splice, on loopback in interleaved rounds. The proxies
 * run on as many cores as they have threads, and all load and backends on the first core, which is best none of those.
 * A round of everything takes about 2.5 minutes; --add keeps what the folder has of other measures, so that they can be
 * taken one after the other. --profile also writes to the folder where each proxy's time went; it costs some, so
 * figures of such a run are for comparing its own.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { TestCa } from '../../../src/testing/certificates.ts';
import { formatTable } from '../../kit/timeline.ts';
import { type Contender, startContenders, startHttpBackends } from './contenders.ts';
import { type Figures, type Measure, measures } from './measures.ts';
import { end, start } from './processes.ts';
import { NODE_PROFILE_FLAGS, profiled } from './profile.ts';
import { drawSvg, type Sample, summarize, tableOf } from './report.ts';

const REFERENCE = 'haproxy';
const FIRST_PORT = 21_000;
const BACKEND_PORTS = { stream: 20_000, http: 20_001, https: 20_002 };
const PAUSE_MS = 300;

/** What an earlier run has of other measures than these. */
function earlierSamples(folder: string, measured: readonly string[]): Sample[] {
  const { samples } = JSON.parse(readFileSync(join(folder, 'proxy.json'), 'utf8')) as { samples: Sample[] };
  return samples.filter(({ measure }) => !measured.includes(measure));
}

function write(folder: string, samples: readonly Sample[]): void {
  const summaries = summarize(samples, REFERENCE);
  mkdirSync(folder, { recursive: true });
  const haproxy = execFileSync('haproxy', ['-v'], { encoding: 'utf8' }).split('\n', 1)[0];
  const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? '', node: process.version, haproxy };
  writeFileSync(
    join(folder, 'proxy.json'),
    `${JSON.stringify({ machine, reference: REFERENCE, summaries, samples }, null, 1)}\n`,
  );
  writeFileSync(join(folder, 'proxy.svg'), drawSvg(summaries, REFERENCE));
  console.log(formatTable(tableOf(summaries)).join('\n'));
}

function lastCores(count: number): number[] {
  const last = cpus().length - 1;
  if (!Number.isInteger(count) || count < 1 || count > last + 1) {
    throw new Error(`--threads must be a whole number from 1 to ${last + 1}, as there are that many cores`);
  }
  return Array.from({ length: count }, (_, index) => last - index);
}

/** The report of the last round stays. */
async function takeWithProfile(
  { name, take }: Measure,
  contender: Contender,
  folder: string,
  out: string,
): Promise<Figures> {
  const { result, report } = await profiled(Object.values(contender.pid), folder, () => take(contender));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `profile-${name}-${contender.name.replaceAll(' ', '-')}.txt`), report);
  return result;
}

type Take = (measure: Measure, contender: Contender) => Promise<Figures>;

async function* takeRounds(
  rounds: number,
  chosen: readonly Measure[],
  contenders: readonly Contender[],
  take: Take,
): AsyncGenerator<Sample> {
  for (let round = 1; round <= rounds; round += 1) {
    for (const measure of chosen) {
      for (const contender of contenders) {
        const figures = Object.entries(await take(measure, contender));
        for (const [figure, value] of figures) {
          yield { round, measure: measure.name, contender: contender.name, figure, value };
        }
        const text = figures.map(([figure, value]) => `${figure} ${value.toPrecision(3)}`).join('; ');
        console.error(`${round}: ${measure.name}, ${contender.name}: ${text}`);
        await delay(PAUSE_MS);
      }
    }
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      measures: { type: 'string', default: '' },
      out: { type: 'string', default: 'bench-results' },
      add: { type: 'boolean', default: false },
      threads: { type: 'string', default: '1' },
      profile: { type: 'boolean', default: false },
    },
  });
  const wanted = values.measures.split(',').filter((name) => name !== '');
  const proxyCores = lastCores(Number(values.threads));
  const loadCore = 0;
  execFileSync('taskset', ['-cp', String(loadCore), String(process.pid)]);
  const chosen = measures(loadCore).filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-bench-'));
  const samples: Sample[] = values.add
    ? earlierSamples(
        values.out,
        chosen.map(({ name }) => name),
      )
    : [];
  try {
    const { cert, key } = await (await TestCa.create()).issue({ names: ['IP:127.0.0.1'] });
    const certificate = join(folder, 'server.pem');
    writeFileSync(certificate, cert + key, { mode: 0o600 });
    const backend = join(import.meta.dirname, 'backend-process.ts');
    await start([loadCore], [process.execPath, backend, String(BACKEND_PORTS.stream)]);
    await startHttpBackends([loadCore], folder, BACKEND_PORTS, certificate);
    const nodeFlags = values.profile ? NODE_PROFILE_FLAGS : [];
    const contenders = await startContenders(proxyCores, folder, FIRST_PORT, BACKEND_PORTS, nodeFlags);
    const take: Take = values.profile
      ? (measure, contender) => takeWithProfile(measure, contender, folder, values.out)
      : (measure, contender) => measure.take(contender);
    for await (const sample of takeRounds(Number(values.rounds), chosen, contenders, take))
      samples.push(sample);
  } finally {
    if (samples.length > 0) write(values.out, samples);
    end();
    rmSync(folder, { recursive: true });
  }
}

await main();
process.exit(0);
