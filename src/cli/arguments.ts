/** Reads the arguments of one command. Everything wrong with them is collected, so that it can be told at once. */
import { parseArgs } from 'node:util';

import { findFlagProblems, type GivenFlag } from '../config/parse.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import type { CommandSpec } from './commands.ts';

export type Invocation = {
  /** The command's own flags: text, or true for a switch. */
  readonly options: ReadonlyMap<string, string | true>;
  /** Flags of the configuration, all of them known and with a value, each once. */
  readonly configFlags: readonly GivenFlag[];
  readonly problems: readonly ConfigProblem[];
  readonly help: boolean;
};

type FlagNames = { readonly valued: readonly string[]; readonly switches: readonly string[] };

type Reading = { readonly flags: GivenFlag[]; readonly problems: ConfigProblem[] };

function flagNames({ options, configFields }: CommandSpec): FlagNames {
  const valued = options.filter(({ placeholder }) => placeholder !== null).map(({ name }) => name);
  const switches = options.filter(({ placeholder }) => placeholder === null).map(({ name }) => name);
  return { valued: [...valued, ...configFields.map(({ flag }) => flag)], switches: [...switches, 'help'] };
}

function tokenize(args: readonly string[], { valued, switches }: FlagNames) {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const name of valued) options[name] = { type: 'string' };
  for (const name of switches) options[name] = { type: 'boolean' };
  options['help'] = { type: 'boolean', short: 'h' };
  return parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

/** Reads the flags; what is wrong with their names or values is left to `findFlagProblems`. */
function readFlags(args: readonly string[], names: FlagNames): Reading {
  const flags: GivenFlag[] = [];
  const problems: ConfigProblem[] = [];
  let valueAt = -1;
  for (const token of tokenize(args, names)) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      // What follows an unknown flag is most likely its value: one mistake, not two.
      if (token.index === valueAt) continue;
      const message = 'unexpected argument; flags start with --';
      problems.push({ path: quoteValue(token.value), value: null, message, where: null });
      continue;
    }
    const { name, rawName, value = null, inlineValue } = token;
    if (inlineValue === false && value !== null && /^-./.test(value)) {
      // No value starts with a dash: this is the next flag, and `name` has none.
      const rest = readFlags(args.slice(token.index + 1), names);
      const before = [...flags, { name, value: null }];
      return { flags: [...before, ...rest.flags], problems: [...problems, ...rest.problems] };
    }
    if (!rawName.startsWith('--') && name !== 'help') {
      problems.push({
        path: rawName,
        value: null,
        message: 'unknown flag; flags start with --',
        where: null,
      });
    } else if (!names.switches.includes(name)) {
      if (!names.valued.includes(name) && value === null) valueAt = token.index + 1;
      flags.push({ name, value });
    } else if (value === null) flags.push({ name, value: '' });
    else {
      problems.push({ path: `--${name}`, value: quoteValue(value), message: 'takes no value', where: null });
    }
  }
  return { flags, problems };
}

/** Reads what follows the name of a command. Never throws. */
export function readArguments(spec: CommandSpec, args: readonly string[]): Invocation {
  const names = flagNames(spec);
  const { flags, problems } = readFlags(args, names);
  const options = new Map<string, string | true>();
  for (const { name, value } of flags) {
    if (value === null || !spec.options.some((option) => option.name === name)) continue;
    options.set(name, names.switches.includes(name) ? true : value);
  }
  return {
    options,
    configFlags: flags.filter(
      ({ name, value }, index) =>
        value !== null &&
        spec.configFields.some(({ flag }) => flag === name) &&
        // Given twice is a problem already, and is not to be found a second time.
        flags.findIndex((other) => other.name === name) === index,
    ),
    problems: [...problems, ...findFlagProblems(flags, [...names.valued, ...names.switches])],
    help: flags.some(({ name }) => name === 'help'),
  };
}
