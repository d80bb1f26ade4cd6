/** Runs the scenarios of this folder, one file after the other. The last line is a summary. */
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { once } from 'node:events';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { PROMISES } from './promises.ts';

const USAGE = `usage: node e2e/lab/main.ts promises|rest|peers
  promises  the scenarios that promises.ts names
  rest      all others that need nothing but this repository
  peers     beside keepalived and frr, which e2e/lab/setup.sh installs`;
/** A file takes two minutes at most. One that hangs fails, and the others go on. */
const FILE_TIMEOUT_MS = 400_000;
const PEERS: ReadonlySet<string> = new Set(['interop-frr', 'interop-keepalived', 'migration']);

type Selection = {
  /** Without folder and `.test.ts`. */
  readonly files: readonly string[];
  /** Names of suites and tests that have to run, and no others; absent: whatever is there. */
  readonly only?: readonly string[];
  readonly without?: readonly string[];
};

/** What one run has come to. */
type Tally = { readonly started: Set<string>; passed: number; failed: number };

/** Null when there is no such selection. */
function select(name: string | undefined): Selection | null {
  const files = globSync('*.test.ts', { cwd: import.meta.dirname }).map((file) => basename(file, '.test.ts'));
  const promised = PROMISES.flatMap(({ scenarios }) => scenarios);
  switch (name) {
    case 'promises':
      return { files: PROMISES.map(({ file }) => file), only: promised };
    case 'rest':
      return { files: files.filter((file) => !PEERS.has(file)).toSorted(), without: promised };
    case 'peers':
      return { files: [...PEERS] };
    default:
      return null;
  }
}

/** The suite or test of this name, with what is in it. Names stand behind those of the suites that they are in. */
function patternOf(name: string): RegExp {
  return new RegExp(`^${name.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}(?: |$)`);
}

async function play({ files, only, without }: Selection): Promise<Tally> {
  const tally: Tally = { started: new Set(), passed: 0, failed: 0 };
  const stream = run({
    files: files.map((file) => join(import.meta.dirname, `${file}.test.ts`)),
    concurrency: false,
    timeout: FILE_TIMEOUT_MS,
    ...(only === undefined ? {} : { testNamePatterns: only.map(patternOf) }),
    ...(without === undefined ? {} : { testSkipPatterns: without.map(patternOf) }),
  });
  const names: string[] = [];
  stream.on('test:start', ({ name, nesting }) => {
    names.splice(nesting, Infinity, name);
    tally.started.add(names.join(' '));
  });
  stream.on('test:pass', ({ name, details }) => {
    // A file none of whose scenarios is selected passes under its own name.
    if (details.type !== 'suite' && !name.endsWith('.test.ts')) tally.passed += 1;
  });
  stream.on('test:fail', ({ details }) => (tally.failed += details.type === 'suite' ? 0 : 1));
  const report = stream.compose(spec);
  report.pipe(process.stdout);
  await once(report, 'end');
  return tally;
}

async function main(): Promise<number> {
  const selection = select(process.argv[2]);
  if (selection === null) {
    console.error(USAGE);
    return 2;
  }
  const fromMs = monotonicMs();
  const { started, passed, failed } = await play(selection);
  const missing = (selection.only ?? []).filter((name) => !started.has(name));
  for (const name of missing) console.error(`promises.ts names a scenario that does not exist: ${name}`);
  const seconds = ((monotonicMs() - fromMs) / 1000).toFixed(0);
  console.log(`lab: ${passed} scenarios passed, ${failed + missing.length} failed, in ${seconds} s`);
  return failed === 0 && missing.length === 0 && passed > 0 ? 0 : 1;
}

process.exitCode = await main();
