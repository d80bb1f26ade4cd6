/** Who may import whom, for the product, its tests and its labs: one table, and what breaks it. */
import { dirname } from 'node:path';

import type { Import, Source } from './sources.ts';

type Row = {
  /**
   * Folders and packages, by spaces; `node` is Node's own modules. A folder may import its own files as well. Types
   * count: a file that needs the type of a driver depends on the driver.
   */
  readonly imports: string;
  /**
   * `all`, or the pure files of a folder that has others, by spaces; absent in labs, which do not need it. What a
   * pure file does depends on its arguments alone: it uses no module of Node, no clock, timer, randomness, environment
   * or console, and no code that does. It may name a type of such code where `imports` allows that, because the type is
   * gone when the program runs.
   */
  readonly pure?: string;
  /** What its tests import besides that and `TEST_IMPORTS`, by spaces. */
  readonly testImports?: string;
};

/** What every test may import. */
const TEST_IMPORTS = 'node fast-check src/testing';

/** Packages that do no I/O. */
const PURE_PACKAGES = new Set(['ipaddr.js', 'yaml', 'zod']);

/**
 * By folder, or by file where one differs from its folder. A row names only rows above it, the folder that it is in and
 * the folders in it, so the order is that of ARCHITECTURE.md: pure, drivers, daemon, cli, tests, labs.
 */
export const WALLS: Readonly<Record<string, Row>> = {
  'src/ip': { imports: 'ipaddr.js', pure: 'all' },
  'src/log': { imports: '', pure: 'all' },
  'src/node': { imports: '', pure: 'all' },
  'src/wire': { imports: 'src/ip', pure: 'all' },
  'src/vrrp': { imports: 'src/ip src/node src/wire', pure: 'all' },
  'src/health': { imports: 'src/ip src/node', pure: 'all' },
  'src/proxy': { imports: 'src/ip', pure: 'all' },
  'src/takeover': { imports: 'src/ip src/wire', pure: 'all' },
  'src/config': { imports: 'src/ip src/vrrp yaml zod', pure: 'all' },
  'src/import': { imports: 'src/ip src/config yaml', pure: 'all' },
  'src/kubeadm': { imports: 'src/ip src/config', pure: 'all', testImports: 'yaml' },

  'src/net': {
    imports: 'src/ip src/log src/wire node koffi netlink',
    pure: 'linux.ts net-error.ts socket-address.ts',
  },
  'src/runtime': { imports: 'src/net node', pure: '' },
  'src/vrrp/driver': {
    imports: 'src/ip src/log src/wire src/vrrp src/net src/runtime node raw-socket',
    pure:
      'conflicts.ts counters.ts durations.ts kernel-lease.ts performer.ts receiver.ts remarks.ts reopening.ts ' +
      'router.ts successor.ts unread-packets.ts',
  },
  'src/health/driver': { imports: 'src/ip src/log src/health src/net src/runtime node undici', pure: '' },
  'src/proxy/driver': {
    imports: 'src/ip src/log src/proxy src/net src/runtime node',
    pure: 'connect-attempts.ts gate.ts handed-over-vips.ts messages.ts',
    testImports: 'koffi',
  },
  'src/takeover/driver': {
    imports: 'src/ip src/log src/wire src/takeover src/net src/runtime node',
    pure: '',
  },

  'src/daemon': {
    imports:
      'src/ip src/log src/node src/vrrp src/health src/proxy src/takeover src/config src/net src/runtime ' +
      'src/vrrp/driver src/health/driver src/proxy/driver src/takeover/driver src/daemon/network ' +
      'src/daemon/metrics node pino prom-client',
    pure:
      'backend-states.ts drain-refusal.ts health-log.ts messages.ts node.ts proxy-limits.ts ' +
      'readiness.ts reload.ts signal-names.ts state-line.ts supervision.ts waits.ts',
  },
  'src/daemon/network': {
    imports: 'src/ip src/log src/config src/vrrp src/net src/runtime src/vrrp/driver src/daemon node',
    pure: 'interfaces.ts messages.ts view.ts',
  },
  'src/daemon/metrics': {
    imports:
      'src/node src/vrrp src/health src/proxy src/takeover src/vrrp/driver src/takeover/driver src/daemon prom-client',
    pure: 'backends.ts election.ts metric.ts proxy.ts readiness.ts takeover.ts',
  },
  'src/cli': {
    imports:
      'src/ip src/log src/node src/config src/import src/kubeadm src/net src/runtime src/daemon src/cli/checks node zod',
    pure: 'commands.ts system-errors.ts',
    testImports: 'src/vrrp yaml',
  },
  'src/cli/checks': {
    imports:
      'src/ip src/log src/vrrp src/health src/config src/net src/runtime src/vrrp/driver src/health/driver ' +
      'src/daemon src/cli node',
    pure: 'result.ts',
  },

  'src/testing': {
    imports:
      'src/ip src/log src/vrrp src/proxy src/config src/import src/net src/runtime src/proxy/driver src/cli ' +
      'node oxc-parser',
    pure: 'heard.ts imported.ts',
    testImports: 'e2e/lab',
  },
  'src/testing/simulator': {
    imports: 'src/ip src/node src/vrrp src/health src/proxy src/vrrp/driver',
    pure: 'all',
  },
  'src/testing/interaction': {
    imports: 'src/ip src/node src/vrrp src/testing/simulator',
    pure: 'all',
  },
  'src/testing/interaction/main.ts': { imports: 'src/testing/interaction node', pure: '' },
  'src/testing/simulator/main.ts': { imports: 'src/testing/simulator node', pure: '' },

  'e2e/kit': {
    imports: 'src/ip src/proxy src/runtime src/daemon src/testing node yaml',
    pure: 'holders.ts outages.ts',
  },
  'e2e/demo': { imports: 'e2e/kit' },
  'e2e/lab': {
    imports:
      'src/ip src/wire src/vrrp src/proxy src/net src/runtime src/vrrp/driver src/proxy/driver src/cli ' +
      'e2e/kit e2e/demo node yaml',
  },
  'e2e/soak': { imports: 'e2e/kit node' },
  'e2e/arm64': { imports: 'e2e/kit' },
  'e2e/kubernetes': { imports: 'src/runtime e2e/kit node' },
  'e2e/kind': { imports: 'src/kubeadm src/runtime src/daemon e2e/kit e2e/kind/scenarios node yaml' },
  'e2e/kind/scenarios': { imports: 'src/runtime e2e/kit e2e/kind node' },
  'e2e/bench/failover': { imports: 'src/config src/runtime e2e/kit node' },
  'e2e/bench/idle': { imports: 'e2e/kit node' },
  'e2e/bench/proxy': {
    imports: 'src/proxy src/proxy/driver src/runtime src/daemon src/testing e2e/kit node',
  },
};

/** Product code is what the image holds: all of src but the tests and what only they use. */
export function isTestOnly(path: string): boolean {
  return isTest(path) || path.startsWith('src/testing/') || path.startsWith('e2e/');
}

/** Every breach of `walls` by `sources`, as sentences; none when all is well. */
export function breaches(sources: readonly Source[], walls: Readonly<Record<string, Row>> = WALLS): string[] {
  return [
    ...rowBreaches(sources, walls),
    ...sources.flatMap((source) => importBreaches(source, walls)),
    ...purityBreaches(sources, walls),
    ...cycles(sources),
  ];
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts');
}

function wordsOf(text = ''): string[] {
  return text.split(' ').filter((word) => word !== '');
}

function keyOf(path: string, walls: Readonly<Record<string, Row>>): string {
  return Object.hasOwn(walls, path) ? path : dirname(path);
}

/** Rows that name nothing, and rows whose imports point upwards. */
function rowBreaches(sources: readonly Source[], walls: Readonly<Record<string, Row>>): string[] {
  const used = new Set(sources.map(({ path }) => keyOf(path, walls)));
  const keys = Object.keys(walls);
  const stale = keys.filter((key) => !used.has(key)).map((key) => `${key} has a row, and does not exist`);
  const upward = keys.flatMap((key, index) =>
    wordsOf(walls[key]?.imports)
      .filter((name) => name.includes('/'))
      .filter((name) => !keys.slice(0, index).includes(name))
      .filter((name) => name !== dirname(key) && dirname(name) !== key)
      .map((name) => `the row of ${key} names ${name}, which has no row above it`),
  );
  return [...stale, ...upward];
}

function importBreaches(source: Source, walls: Readonly<Record<string, Row>>): string[] {
  const { path, imports } = source;
  const key = keyOf(path, walls);
  const row = walls[key];
  if (row === undefined) return [`${path}: ${key} has no row in the table of walls`];
  const allowed = new Set(wordsOf(row.imports));
  if (isTest(path)) for (const name of wordsOf(`${TEST_IMPORTS} ${row.testImports ?? ''}`)) allowed.add(name);
  const mayImport = ({ target }: Import): boolean => {
    if (target.startsWith('node:')) return allowed.has('node');
    if (!target.includes('/') || target.startsWith('@')) return allowed.has(target);
    return dirname(target) === dirname(path) || allowed.has(keyOf(target, walls));
  };
  return [
    ...imports
      .filter((one) => !mayImport(one))
      .map(({ target }) => `${path} imports ${target}, which the row of ${key} does not allow`),
    ...imports
      .filter(({ target }) => !isTestOnly(path) && isTestOnly(target))
      .map(({ target }) => `${path} is product code, and imports ${target}, which is for tests`),
  ];
}

/** Files that are said to be pure and are not, and the other way round: what is pure is to stay so. */
function purityBreaches(sources: readonly Source[], walls: Readonly<Record<string, Row>>): string[] {
  const reasons = impurities(sources);
  return sources.flatMap(({ path }) => {
    const key = keyOf(path, walls);
    const pure = walls[key]?.pure;
    if (pure === undefined || isTest(path) || path.endsWith('.d.ts')) return [];
    const isPure = pure === 'all' || wordsOf(pure).includes(path.slice(key.length + 1));
    const reason = reasons.get(path);
    if (isPure && reason !== undefined) return [`${path} has to be pure, and uses ${reason}`];
    if (!isPure && reason === undefined && key !== path) {
      return [`${path} is pure, and has to be named as such in the row of ${key}, so that it stays so`];
    }
    return [];
  });
}

/** Why a file is not pure, by file. */
function impurities(sources: readonly Source[]): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  for (let known = -1; known < reasons.size;) {
    known = reasons.size;
    for (const { path, imports, ambient } of sources) {
      if (reasons.has(path)) continue;
      const values = imports.filter(({ kind }) => kind !== 'type').map(({ target }) => target);
      const impure = values.find((target) =>
        target.endsWith('.ts') ? reasons.has(target) : !PURE_PACKAGES.has(target),
      );
      const reason = ambient[0] ?? impure;
      if (reason !== undefined) reasons.set(path, reason);
    }
  }
  return reasons;
}

/** Files that import each other, directly or through others. Types count; a file may start another that imports it. */
function cycles(sources: readonly Source[]): string[] {
  const importsOf = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.filter(({ kind }) => kind !== 'start').map(({ target }) => target),
    ]),
  );
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push(`files import each other: ${[...trail.slice(start), path].join(' -> ')}`);
    if (start >= 0 || done.has(path)) return;
    for (const target of importsOf.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of importsOf.keys()) visit(path, []);
  return found;
}
