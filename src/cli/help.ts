/** Help texts, made from the commands and the configuration schema. */
import type { ConfigField } from '../config/schema.ts';
import { COMMANDS, type CommandSpec } from './commands.ts';
import { wrap } from './terminal.ts';

const WIDTH = 100;
const EXIT_CODES = 'Exit codes: 0 good, 1 failed at run time, 2 bad usage or configuration.';

function indent(text: string, by: number): string[] {
  return wrap(text, WIDTH - by).map((line) => ' '.repeat(by) + line);
}

/** A name, and beside it from a fixed column on, what it means. */
function entry(name: string, meaning: string, column: number): string[] {
  const [first = '', ...rest] = indent(meaning, column);
  return [`  ${name}`.padEnd(column) + first.trimStart(), ...rest];
}

function exampleLines(examples: CommandSpec['examples']): string[] {
  return examples.map(([line, meaning]) => `  ${line}${meaning === '' ? '' : `   # ${meaning}`}`);
}

/** The help of the whole program. */
export function generalHelp(): string {
  const commands = Object.values(COMMANDS);
  return [
    'kube-vrrp gives the API servers of a kubeadm control plane one virtual IP: VRRP and a TCP proxy.',
    '',
    'Usage: kube-vrrp COMMAND [FLAGS]',
    '',
    'Commands:',
    ...commands.flatMap(({ name, summary }) => entry(name, summary, 12)),
    '',
    'kube-vrrp COMMAND --help tells more about each; run --help lists the whole configuration.',
    '',
    'Example:',
    ...exampleLines(COMMANDS.run.examples.slice(0, 1)),
    '',
    EXIT_CODES,
  ].join('\n');
}

function optionLines(spec: CommandSpec): string[] {
  const named = spec.options.map(({ name, placeholder, description }) =>
    entry(`--${name}${placeholder === null ? '' : ` ${placeholder}`}`, description, 22),
  );
  return [...named.flat(), ...entry('-h, --help', 'Show this.', 22)];
}

function fieldLines(field: ConfigField): string[] {
  const fallback = field.required ? 'Required.' : `Default: ${field.defaultText}.`;
  return [
    `  --${field.flag}`,
    ...indent(field.description, 6),
    ...indent(`${fallback} Accepts ${field.accepts}.`, 6),
  ];
}

function configurationLines({ configFields }: CommandSpec): string[] {
  if (configFields.length === 0) return [];
  const [{ path, flag, env } = { path: '', flag: '', env: '' }] = configFields.toReversed();
  const about = `Each is also a key of the file and a variable: --${flag} is ${path} in the file and ${env}. A flag beats a variable beats the file. Lists are separated by commas.`;
  return ['', 'Configuration flags:', ...indent(about, 2), '', ...configFields.flatMap(fieldLines)];
}

/** The help of one command. */
export function commandHelp(spec: CommandSpec): string {
  return [
    ...wrap(`kube-vrrp ${spec.name}: ${spec.summary}`, WIDTH),
    ...(spec.details === '' ? [] : wrap(spec.details, WIDTH)),
    '',
    `Usage: kube-vrrp ${spec.name} [FLAGS]`,
    '',
    spec.examples.length === 1 ? 'Example:' : 'Examples:',
    ...exampleLines(spec.examples),
    '',
    'Flags:',
    ...optionLines(spec),
    ...configurationLines(spec),
    '',
    EXIT_CODES,
  ].join('\n');
}
