/** From what the files of other programs say to one configuration file for all nodes. Pure. */
import { parseConfig, readOverrides, type ConfigSources } from '../config/parse.ts';
import type { ConfigProblem } from '../config/problem.ts';
import { renderConfigFile } from '../config/printed.ts';
import { compareIp, parseIp } from '../ip/address.ts';
import type { Finding, Imported, ImportedValue, PlainValue } from './imported.ts';

export type ImportedConfiguration = {
  /** What people should know, in the order of the files. */
  readonly findings: readonly Finding[];
} & (
  | { readonly ok: true; readonly yaml: string }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
);

type Values = ReadonlyMap<string, ImportedValue>;

/**
 * Flags and variables beat the files, and a later file an earlier one. Each value of the YAML text has its origin
 * beside it.
 */
export function importedConfiguration(
  sources: readonly Imported[],
  given: Omit<ConfigSources, 'file'>,
): ImportedConfiguration {
  const findings = sources.flatMap((source) => source.findings);
  const overrides = readOverrides(given);
  const values = new Map(merge(sources, findings));
  for (const [path, { value, where }] of overrides.values) {
    values.set(path, { value: value as PlainValue, where: where() });
  }
  const yaml = renderConfigFile(HEADING, values);
  const parsed = parseConfig({ file: { name: 'the result', text: yaml }, env: {}, flags: [] });
  const wrong = parsed.ok ? [] : parsed.problems.map((problem) => atOrigin(problem, values));
  const problems = [...overrides.problems, ...wrong];
  return problems.length > 0 ? { ok: false, problems, findings } : { ok: true, yaml, findings };
}

function merge(sources: readonly Imported[], findings: Finding[]): Values {
  const merged = new Map<string, ImportedValue>();
  for (const [path, { value, where }] of sources.flatMap((source) => [...source.values])) {
    const earlier = merged.get(path);
    if (path === 'peers') {
      noteOtherPeers(earlier, { value, where }, findings);
      merged.set(path, { value: joinPeers(earlier, value), where: earlier?.where ?? where });
      continue;
    }
    if (earlier !== undefined && String(earlier.value) !== String(value)) {
      findings.push({
        where,
        text: `${path} is ${String(value)}, and not ${String(earlier.value)} as ${earlier.where} has it`,
      });
    }
    merged.set(path, { value, where });
  }
  return merged;
}

function noteOtherPeers(earlier: ImportedValue | undefined, later: ImportedValue, findings: Finding[]): void {
  if (earlier === undefined) return;
  const [before, after] = [new Set(textsOf(earlier.value)), new Set(textsOf(later.value))];
  const onlyOne = [...before, ...after].filter((text) => before.has(text) !== after.has(text));
  if (onlyOne.length === 0) return;
  const text = `${onlyOne.join(', ')} are in peers, but only one of the files has them: see that each is a control-plane node`;
  findings.push({ where: later.where, text });
}

/** The nodes that any file names, in an order that is the same on every node, whose files name the others only. */
function joinPeers(earlier: ImportedValue | undefined, value: PlainValue): readonly string[] {
  const texts = new Set([...textsOf(earlier?.value ?? []), ...textsOf(value)]);
  return [...texts].toSorted((a, b) => {
    const [first, second] = [parseIp(a), parseIp(b)];
    if (first === null || second === null) return Number(first === null) - Number(second === null);
    if (first.family !== second.family) return first.family === 'IPv4' ? -1 : 1;
    return compareIp(first, second);
  });
}

function textsOf(value: PlainValue): string[] {
  return [value].flat().map(String);
}

const HEADING = [
  'kube-vrrp configuration, the same for all control-plane nodes; made by kube-vrrp import.',
  'kube-vrrp check --config FILE says whether it fits a node.',
];

/** A problem of the result lies where its value came from. */
function atOrigin(problem: ConfigProblem, values: Values): ConfigProblem {
  const origin = values.get(problem.path.replace(/\[\d+\]$/, ''));
  return origin === undefined ? problem : { ...problem, where: origin.where };
}
