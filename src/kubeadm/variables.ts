/** A configuration as the variables that give it back. Pure. */
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import { CONFIG_FIELDS, type ConfigField } from '../config/schema.ts';
import { fieldTexts } from '../config/texts.ts';

export type Variable = { readonly field: ConfigField; readonly text: string };

type Variables =
  | { readonly ok: true; readonly value: readonly Variable[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

function allVariables(config: Config): Variable[] {
  const texts = fieldTexts(config);
  return CONFIG_FIELDS.flatMap((field) => {
    const text = texts[field.path];
    if (text === undefined) throw new Error(`field ${field.path} has no text`);
    return text === null ? [] : [{ field, text }];
  });
}

/** The paths of those fields that the variables do not give back as they are in `config`. */
function findDifferences(config: Config, variables: readonly Variable[]): string[] {
  const env = Object.fromEntries(variables.map(({ field, text }) => [field.env, text]));
  const parsed = parseConfig({ file: null, env, flags: [] });
  if (!parsed.ok) return parsed.problems.map(({ path }) => path.replace(/\[\d+\]$/, ''));
  const given = fieldTexts(parsed.value);
  return Object.entries(fieldTexts(config)).flatMap(([path, text]) => (given[path] === text ? [] : [path]));
}

/**
 * The fewest variables that give the configuration back: those that make no difference are left out, and so nothing
 * here knows a default. A value that no variable can give is a problem (a text like `tcp://` is taken for a Service).
 */
export function configVariables(config: Config): Variables {
  let variables: readonly Variable[] = allVariables(config);
  const lost = findDifferences(config, variables);
  if (lost.length > 0) {
    const problems = variables
      .filter(({ field }) => lost.includes(field.path))
      .map(({ field, text }) => ({
        path: field.path,
        value: quoteValue(text),
        message: `expected a value that the variable ${field.env} can give, which is how a static pod gets it`,
        where: null,
      }));
    return { ok: false, problems };
  }
  for (const candidate of variables) {
    const rest = variables.filter((variable) => variable !== candidate);
    if (findDifferences(config, rest).length === 0) variables = rest;
  }
  return { ok: true, value: variables };
}
