/** Turns file, variables and flags into a Config, or into all that is wrong with them at once. Pure. */
import type * as z from 'zod';

import type { Config } from './config.ts';
import { readConfigFile, type ConfigFile, type FileValues, type GivenValue } from './file.ts';
import { quoteValue, type ConfigProblem } from './problem.ts';
import { findBrokenRules, type BrokenRule, type ConfigDraft } from './rules.ts';
import { CONFIG_FIELDS, ENV_PREFIX, type ConfigField, type ConfigValues } from './schema.ts';
import { closestName } from './suggest.ts';

export type GivenFlag = {
  /** Without dashes: `vrrp-vrid`. */
  readonly name: string;
  /** Null: no value followed it. */
  readonly value: string | null;
};

/** Where values come from: a flag beats a variable beats the file beats the default. */
export type ConfigSources = {
  readonly file: ConfigFile | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: readonly GivenFlag[];
};

export type Parsed<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** The variable that names the configuration file; the command line reads it. */
export const CONFIG_FILE_ENV = `${ENV_PREFIX}CONFIG`;

/** In version 2 intervals are whole seconds, so the default of version 3 cannot be its default too. */
const V2_DEFAULT_INTERVAL_MS = 1000;

/** What is wrong with flags by their names: unknown, given twice, or without a value. `names` are those that exist. */
export function findFlagProblems(flags: readonly GivenFlag[], names: readonly string[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Set<string>();
  for (const { name, value } of flags) {
    const report = (message: string): void => {
      problems.push({
        path: `--${name}`,
        value: value === null ? null : quoteValue(value),
        message,
        where: null,
      });
    };
    if (!names.includes(name)) {
      const near = closestName(name, names);
      report(
        near === null
          ? 'unknown flag; --help lists those there are'
          : `unknown flag; did you mean --${near}?`,
      );
    } else if (value === null) report('expected a value after it');
    else if (seen.has(name)) report('given twice; write a list with commas, and anything else once');
    seen.add(name);
  }
  return problems;
}

function flagValues(flags: readonly GivenFlag[]): Map<string, GivenValue> {
  const values = new Map<string, GivenValue>();
  for (const { name, value } of flags) {
    const field = CONFIG_FIELDS.find(({ flag }) => flag === name);
    if (field === undefined || value === null) continue;
    values.set(field.path, { value: field.fromText(value), where: () => `flag --${name}` });
  }
  return values;
}

/**
 * Kubernetes gives every container variables for the Services of its namespace, named after them: a Service
 * `kube-vrrp-proxy` makes KUBE_VRRP_PROXY_PORT=tcp://10.96.0.7:36443. They are no configuration, whatever their name.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(?:HOST|PORT(?:_\w+)?)$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?$/.test(name) ||
    /^(?:tcp|udp|sctp):\/\//.test(value)
  );
}

function readEnv(env: ConfigSources['env']): { values: Map<string, GivenValue>; problems: ConfigProblem[] } {
  const values = new Map<string, GivenValue>();
  const problems: ConfigProblem[] = [];
  const names = [...CONFIG_FIELDS.map((field) => field.env), CONFIG_FILE_ENV];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith(ENV_PREFIX) || isServiceLink(name, value)) continue;
    const field = CONFIG_FIELDS.find((candidate) => candidate.env === name);
    if (field !== undefined) {
      values.set(field.path, { value: field.fromText(value), where: () => `env ${name}` });
    } else if (!names.includes(name)) {
      const short = (full: string): string => full.slice(ENV_PREFIX.length);
      const near = closestName(short(name), names.map(short));
      const message =
        near === null ? 'unknown variable' : `unknown variable; did you mean ${ENV_PREFIX}${near}?`;
      problems.push({ path: name, value: quoteValue(value), message, where: null });
    }
  }
  return { values, problems };
}

/** The value of a nested path inside a value that was refused: `peers[1]`. */
function pickItem(value: unknown, index: PropertyKey | undefined): unknown {
  return Array.isArray(value) && typeof index === 'number' ? value[index] : value;
}

/** The issues of a union are those of the member that understood the value's form; where none did, the union's own. */
function innermost(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const understood = ({ code, path }: z.core.$ZodIssue): boolean => code === 'custom' || path.length > 0;
  return issue.errors.find((errors) => errors.some(understood)) ?? [issue];
}

function fieldProblems(
  field: ConfigField,
  given: GivenValue,
  issues: readonly z.core.$ZodIssue[],
): ConfigProblem[] {
  const problems = new Map<string, ConfigProblem>();
  for (const { path, message } of issues.flatMap(innermost)) {
    const index = path.find((key) => typeof key === 'number');
    const problem = {
      path: index === undefined ? field.path : `${field.path}[${index}]`,
      value: quoteValue(pickItem(given.value, index)),
      message: `expected ${message}`,
      where: given.where(index),
    };
    problems.set(`${problem.path} ${message}`, problem);
  }
  return [...problems.values()];
}

function missingProblem(field: ConfigField): ConfigProblem {
  const message = `missing; expected ${field.accepts}; set it in the file, by --${field.flag} or by ${field.env}`;
  return { path: field.path, value: null, message, where: null };
}

/** Puts a value at a path of at most two keys. */
function setAt(draft: Record<string, unknown>, path: string, value: unknown): void {
  const [group = '', key] = path.split('.');
  if (key === undefined) draft[group] = value;
  else (draft[group] as Record<string, unknown>)[key] = value;
}

type Resolved = {
  readonly draft: ConfigDraft;
  readonly given: ReadonlyMap<string, GivenValue>;
  readonly problems: readonly ConfigProblem[];
};

/** Parses each field by itself, so that one wrong value hides no other. */
function resolveFields(
  fields: readonly ConfigField[],
  given: ReadonlyMap<string, GivenValue>,
  reportMissing: boolean,
): Resolved {
  const draft: Record<string, unknown> = { vrrp: {}, proxy: {}, health: {}, admin: {}, log: {} };
  const problems: ConfigProblem[] = [];
  for (const field of fields) {
    const source = given.get(field.path);
    if (source === undefined && field.required) {
      if (reportMissing) problems.push(missingProblem(field));
      continue;
    }
    const result = field.schema.safeParse(source?.value);
    if (result.success) setAt(draft, field.path, result.data);
    else if (source !== undefined) problems.push(...fieldProblems(field, source, result.error.issues));
  }
  return { draft: draft as ConfigDraft, given, problems };
}

/** Shows the value as it was given, and as a list's item only where it was given as a list. */
function ruleProblem({ path, message }: BrokenRule, given: ReadonlyMap<string, GivenValue>): ConfigProblem {
  const [, key = path, indexText] = /^([^[]+)(?:\[(\d+)\])?$/.exec(path) ?? [];
  const source = given.get(key);
  if (source === undefined) {
    const value = CONFIG_FIELDS.find((field) => field.path === key)?.defaultText ?? null;
    return { path: key, value, message, where: 'default' };
  }
  const index = Array.isArray(source.value) && indexText !== undefined ? Number(indexText) : undefined;
  const value = quoteValue(pickItem(source.value, index));
  return { path: index === undefined ? key : path, value, message, where: source.where(index) };
}

type Gathered = {
  readonly file: FileValues;
  readonly given: ReadonlyMap<string, GivenValue>;
  readonly problems: readonly ConfigProblem[];
};

export type Overrides = {
  /** By the path of the field. */
  readonly values: ReadonlyMap<string, GivenValue>;
  readonly problems: readonly ConfigProblem[];
};

/** What variables and flags give, whose values beat those of any file. They are not checked yet. */
export function readOverrides({ env, flags }: Omit<ConfigSources, 'file'>): Overrides {
  const variables = readEnv(env);
  const flagNames = CONFIG_FIELDS.map(({ flag }) => flag);
  return {
    values: new Map([...variables.values, ...flagValues(flags)]),
    problems: [...variables.problems, ...findFlagProblems(flags, flagNames)],
  };
}

/** Reads the three sources; each value is the winner's. */
function gather(sources: ConfigSources): Gathered {
  const file: FileValues =
    sources.file === null
      ? { values: new Map(), problems: [], readable: true }
      : readConfigFile(sources.file);
  const overrides = readOverrides(sources);
  return {
    file,
    given: new Map([...file.values, ...overrides.values]),
    problems: [...file.problems, ...overrides.problems],
  };
}

/** Where the value of each field comes from that is not its default, by path. */
export function originsOf(sources: ConfigSources): ReadonlyMap<string, string> {
  return new Map([...gather(sources).given].map(([path, { where }]) => [path, where()]));
}

function withVersionDefault(resolved: Resolved): ConfigDraft {
  const { draft, given } = resolved;
  if (draft.vrrp.version !== 2 || given.has('vrrp.advertisementInterval')) return draft;
  return { ...draft, vrrp: { ...draft.vrrp, advertisementInterval: V2_DEFAULT_INTERVAL_MS } };
}

function toProxy({ maxConnectionAge, ...proxy }: ConfigValues['proxy']): Config['proxy'] {
  return { ...proxy, maxConnectionAgeMs: maxConnectionAge };
}

function toConfig({ vip, peers, vrrp, proxy, health, admin, log, ...values }: ConfigValues): Config {
  return {
    vips: vip,
    interface: values.interface ?? null,
    peers,
    vrrp: {
      vrid: vrrp.vrid,
      version: vrrp.version,
      priority: vrrp.priority,
      advertisementIntervalMs: vrrp.advertisementInterval,
      preempt: vrrp.preempt,
      preemptDelayMs: vrrp.preemptDelay,
      transport: vrrp.transport,
      senders: vrrp.senders,
      checksum: vrrp.checksum,
      authPass: vrrp.authPass ?? null,
    },
    proxy: toProxy(proxy),
    health: {
      path: health.path,
      intervalMs: health.interval,
      timeoutMs: health.timeout,
      rise: health.rise,
      fall: health.fall,
      caFile: health.caFile,
      clientCertFile: health.clientCertFile ?? null,
      clientKeyFile: health.clientKeyFile ?? null,
    },
    admin: { listen: admin.address, socket: admin.socket },
    log,
  };
}

/**
 * Parses the whole configuration. Every problem of every source is in the result; rules that join fields are tried on
 * those fields that are valid by themselves. Never throws.
 */
export function parseConfig(sources: ConfigSources): Parsed<Config> {
  const { file, given, problems: early } = gather(sources);
  const resolved = resolveFields(CONFIG_FIELDS, given, file.readable);
  const draft = withVersionDefault(resolved);
  const broken = findBrokenRules(draft).map((rule) => ruleProblem(rule, given));
  const problems = [...early, ...resolved.problems, ...broken];
  // Without a problem every field has its value, so the draft is complete.
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: toConfig(draft as ConfigValues) };
}

/**
 * Parses the `admin` group alone, for commands that only talk to a running daemon. Problems elsewhere do not matter to
 * them.
 */
export function parseAdminConfig(sources: ConfigSources): Parsed<Config['admin']> {
  const { given, problems: early } = gather(sources);
  const fields = CONFIG_FIELDS.filter(({ path }) => path.startsWith('admin.'));
  const resolved = resolveFields(fields, given, false);
  const ours = early.filter(
    ({ path }) => /^(?:admin\b|YAML|--)/.test(path) || path.startsWith(`${ENV_PREFIX}ADMIN`),
  );
  const problems = [...ours, ...resolved.problems];
  if (problems.length > 0) return { ok: false, problems };
  const { address, socket } = resolved.draft.admin as ConfigValues['admin'];
  return { ok: true, value: { listen: address, socket } };
}
