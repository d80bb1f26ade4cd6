/** A configuration as a file for people: each value with the place it comes from. Pure. */
import { noted, renderYaml, type Tree } from './noted-yaml.ts';
import { originsOf, parseConfig, type ConfigSources, type Parsed } from './parse.ts';
import { CONFIG_FIELDS, CONFIG_GROUPS } from './schema.ts';
import { fieldTexts } from './texts.ts';

export type PrintedValue = { readonly value: string | number | readonly string[]; readonly where: string };

/** A file with these values, by the paths of their fields, in the order of the schema. */
export function renderConfigFile(
  heading: readonly string[],
  values: ReadonlyMap<string, PrintedValue>,
): string {
  const top: Record<string, Tree> = {};
  const groups: Record<string, Record<string, Tree>> = {};
  for (const { path } of CONFIG_FIELDS) {
    const given = values.get(path);
    if (given === undefined) continue;
    const [group = '', key] = path.split('.');
    if (key === undefined) top[path] = noted(given.where, given.value);
    else (groups[group] ??= {})[key] = noted(given.where, given.value);
  }
  for (const group of CONFIG_GROUPS) {
    const inner = groups[group];
    if (inner !== undefined) top[group] = inner;
  }
  return renderYaml(heading, top);
}

/** What is not to be read over a shoulder, or in a report of a defect. */
const SECRET = 'vrrp.authPass';
const HIDDEN = '(not shown)';

/** Every field with its value and where that comes from, as a file; or all that is wrong with the sources. */
export function printConfig(sources: ConfigSources): Parsed<string> {
  const parsed = parseConfig(sources);
  if (!parsed.ok) return parsed;
  const texts = fieldTexts(parsed.value);
  const origins = originsOf(sources);
  const values = new Map<string, PrintedValue>();
  const unset: string[] = [];
  for (const { path, fromText, defaultText } of CONFIG_FIELDS) {
    const text = texts[path] ?? null;
    if (text === null) unset.push(`${path} (${defaultText ?? ''})`);
    else {
      const shown = path === SECRET ? HIDDEN : fromText(text);
      values.set(path, { value: shown as PrintedValue['value'], where: origins.get(path) ?? 'default' });
    }
  }
  const heading = [
    'The configuration of kube-vrrp by these flags, variables and file: every key, and above it where its value comes from.',
    ...(unset.length === 0 ? [] : [`Not set: ${unset.join(', ')}.`]),
  ];
  return { ok: true, value: renderConfigFile(heading, values) };
}
