import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { type Import, parseSource, readSources, ROOT, type Source } from './sources.ts';
import { breaches, isTestOnly, WALLS } from './walls.ts';

const sources = readSources();

describe('the walls', () => {
  test('hold: no file imports what the row of its folder does not allow, and no files import each other', () => {
    const found = breaches(sources);
    assert.ok(found.length === 0, `\n${found.join('\n')}`);
  });

  test('product code imports only the packages that it is installed with', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const isPackage = ({ target }: Import): boolean => !target.startsWith('node:') && !target.includes('/');
    const imported = sources.filter(({ path }) => !isTestOnly(path)).flatMap(({ imports }) => imports);
    const packages = new Set(imported.filter(isPackage).map(({ target }) => target));
    assert.deepEqual([...packages].toSorted(), Object.keys(dependencies).toSorted());
  });

  test('what the build leaves out is what is for tests alone', () => {
    const { include, exclude } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.build.json'), 'utf8')) as {
      include: string[];
      exclude: string[];
    };
    assert.deepEqual(
      { include, exclude },
      { include: ['src'], exclude: ['src/**/*.test.ts', 'src/testing'] },
    );
  });
});

/** One file, or several, beside all that are there. */
const BREACHES: readonly { what: string; files: Record<string, string>; expected: RegExp }[] = [
  {
    what: 'vrrp imports takeover',
    files: { 'src/vrrp/x.ts': `import { encode } from '../takeover/message.ts';` },
    expected:
      /src\/vrrp\/x\.ts imports src\/takeover\/message\.ts, which the row of src\/vrrp does not allow/,
  },
  {
    what: 'a driver names a type of the daemon',
    files: { 'src/health/driver/x.ts': `import type { Status } from '../../daemon/status.ts';` },
    expected: /x\.ts imports src\/daemon\/status\.ts/,
  },
  {
    what: 'net exports from proxy',
    files: { 'src/net/x.ts': `export { ageOf } from '../proxy/age.ts';` },
    expected: /x\.ts imports src\/proxy\/age\.ts/,
  },
  {
    what: 'the proxy imports health when it runs',
    files: { 'src/proxy/driver/x.ts': `await import('../../health/class.ts');` },
    expected: /x\.ts imports src\/health\/class\.ts/,
  },
  {
    what: 'a type is taken by import()',
    files: { 'src/takeover/x.ts': `export type X = import('../proxy/age.ts').Age;` },
    expected: /x\.ts imports src\/proxy\/age\.ts/,
  },
  {
    what: 'the daemon starts a thread of the command line',
    files: { 'src/daemon/x.ts': `new Worker(new URL('../cli/interpret-thread.ts', import.meta.url));` },
    expected: /x\.ts imports src\/cli\/interpret-thread\.ts/,
  },
  {
    what: 'pure code reads a file',
    files: { 'src/config/x.ts': `import { readFileSync } from 'node:fs';` },
    expected: /x\.ts imports node:fs/,
  },
  {
    what: 'pure code reads the clock',
    files: { 'src/takeover/x.ts': `export const nowMs = Date.now();` },
    expected: /x\.ts has to be pure, and uses Date\.now/,
  },
  {
    what: 'a pure file of a driver runs code of one that is not',
    files: { 'src/vrrp/driver/performer.ts': `import { monotonicMs } from '../../runtime/clock.ts';` },
    expected: /performer\.ts has to be pure, and uses src\/runtime\/clock\.ts/,
  },
  {
    what: 'a file becomes pure unnoticed',
    files: { 'src/daemon/x.ts': `export const LIMIT = 5;` },
    expected: /x\.ts is pure, and has to be named as such in the row of src\/daemon/,
  },
  {
    what: 'a package is used where it does not belong',
    files: { 'src/takeover/driver/x.ts': `import { request } from 'undici/types';` },
    expected: /x\.ts imports undici/,
  },
  {
    what: 'product code imports what is for tests',
    files: { 'src/cli/x.ts': `import { until } from '../testing/until.ts';` },
    expected: /x\.ts is product code, and imports src\/testing\/until\.ts, which is for tests/,
  },
  {
    what: 'product code imports a test beside it',
    files: { 'src/cli/x.ts': `import './cli.test.ts';` },
    expected: /x\.ts is product code, and imports src\/cli\/cli\.test\.ts/,
  },
  {
    what: 'a folder is new',
    files: { 'src/cluster/x.ts': '' },
    expected: /src\/cluster has no row/,
  },
  {
    what: 'two files name types of each other',
    files: {
      'src/ip/a.ts': `import type { B } from './b.ts';`,
      'src/ip/b.ts': `import type { A } from './a.ts';`,
    },
    expected: /files import each other: src\/ip\/a\.ts -> src\/ip\/b\.ts -> src\/ip\/a\.ts/,
  },
];

describe('the walls notice when', () => {
  for (const { what, files, expected } of BREACHES) {
    test(what, () => {
      const added = Object.entries(files).map(([path, text]) => parseSource(path, text));
      const others: readonly Source[] = sources.filter(({ path }) => files[path] === undefined);
      assert.match(breaches([...others, ...added]).join('\n'), expected);
    });
  }

  test('a row names one that is not above it', () => {
    const walls = { ...WALLS, 'src/ip': { imports: 'src/vrrp', pure: 'all' } };
    assert.match(breaches(sources, walls).join('\n'), /the row of src\/ip names src\/vrrp/);
  });
});
