/** Brings file, variables and flags together for a command, and tells what is wrong with them. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';

import type { Config } from '../config/config.ts';
import type { ConfigFile } from '../config/file.ts';
import {
  CONFIG_FILE_ENV,
  parseAdminConfig,
  parseConfig,
  type ConfigSources,
  type Parsed,
} from '../config/parse.ts';
import { formatProblem, quoteValue, type ConfigProblem } from '../config/problem.ts';
import { CONFIG_FIELDS } from '../config/schema.ts';
import type { Invocation } from './arguments.ts';
import { findReservedAddresses, ownSubnets } from './own-subnets.ts';
import { describeFileError } from './system-errors.ts';
import { printError } from './terminal.ts';

/** Exit code for bad usage or configuration. */
const BAD_USAGE = 2;

const FILE_MAX_BYTES = 1_048_576;
const TOO_LARGE = `cannot be used: it is larger than ${FILE_MAX_BYTES} bytes`;

/** What stands for standard input in the place of a file's name. */
const STANDARD_INPUT = '-';

/** What messages call the file. */
export function nameOf(path: string): string {
  return path === STANDARD_INPUT ? 'standard input' : path;
}

async function readStandardInput(): Promise<{ text: string } | { refusal: string }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // The descriptor itself: the command line of `run` is read in a thread, which has no standard input of its own.
  for await (const chunk of createReadStream('', { fd: 0, autoClose: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > FILE_MAX_BYTES) return { refusal: TOO_LARGE };
  }
  return { text: Buffer.concat(chunks).toString('utf8') };
}

/** The content of a small file, or of standard input for `-`; or why it cannot be used. */
export async function readText(path: string): Promise<{ text: string } | { refusal: string }> {
  try {
    if (path === STANDARD_INPUT) return await readStandardInput();
    const { size } = await stat(path);
    if (size > FILE_MAX_BYTES) return { refusal: TOO_LARGE };
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { refusal: `cannot be read: ${describeFileError(error)}` };
  }
}

/** A flag that was given wrongly is the one problem: that its field is missing then is the same one. */
function withoutEchoes(
  problems: readonly ConfigProblem[],
  ofArguments: readonly ConfigProblem[],
): readonly ConfigProblem[] {
  const meant = new Set(
    ofArguments.map(({ path, message }) => /did you mean (--[\w-]+)\?/.exec(message)?.[1] ?? path),
  );
  return problems.filter(({ path, message }) => {
    const flag = CONFIG_FIELDS.find((field) => field.path === path)?.flag;
    return flag === undefined || !message.startsWith('missing') || !meant.has(`--${flag}`);
  });
}

/** What `parse` makes of the sources of an invocation, or all that is wrong with its arguments and with them. */
export async function load<Value>(
  { options, configFlags, problems }: Invocation,
  parse: (sources: ConfigSources) => Parsed<Value>,
): Promise<Parsed<Value>> {
  const flag = options.get('config');
  const path = typeof flag === 'string' ? flag : process.env[CONFIG_FILE_ENV];
  let file: ConfigFile | null = null;
  if (path !== undefined) {
    const read = await readText(path);
    if ('refusal' in read) {
      const name = flag === undefined ? CONFIG_FILE_ENV : '--config';
      const unreadable = { path: name, value: quoteValue(path), message: read.refusal, where: null };
      return { ok: false, problems: [...problems, unreadable] };
    }
    file = { name: nameOf(path), text: read.text };
  }
  const parsed = parse({ file, env: process.env, flags: configFlags });
  const all = [...problems, ...(parsed.ok ? [] : withoutEchoes(parsed.problems, problems))];
  return all.length > 0 ? { ok: false, problems: all } : parsed;
}

/**
 * The whole configuration of an invocation, or all that is wrong with its arguments, variables and file, and with its
 * addresses in the subnets of this host if that is one of the peers.
 */
export function loadConfig(invocation: Invocation): Promise<Parsed<Config>> {
  return load(invocation, (sources) => {
    const parsed = parseConfig(sources);
    const problems = parsed.ok ? findReservedAddresses(parsed.value, ownSubnets()) : [];
    return problems.length > 0 ? { ok: false, problems } : parsed;
  });
}

/** The `admin` group alone, for commands that talk to a running daemon. */
export function loadAdminConfig(invocation: Invocation): Promise<Parsed<Config['admin']>> {
  return load(invocation, parseAdminConfig);
}

/** Prints problems to standard error, one a line, and returns the exit code for them. */
export function reportProblems(command: string, problems: readonly ConfigProblem[]): number {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  printError(`kube-vrrp ${command}: ${count} in the configuration or the arguments:`);
  for (const problem of problems) printError(`  ${formatProblem(problem)}`);
  printError(`"kube-vrrp ${command} --help" lists what can be given.`);
  return BAD_USAGE;
}
