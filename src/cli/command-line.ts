/** From the words of a command line to what they ask for. */
import type { Config } from '../config/config.ts';
import { closestName } from '../config/suggest.ts';
import { readArguments, type Invocation } from './arguments.ts';
import { COMMANDS, type CommandName } from './commands.ts';
import { commandHelp, generalHelp } from './help.ts';
import { loadConfig, reportProblems } from './load-config.ts';
import { print, printError } from './terminal.ts';

const BAD_USAGE = 2;

/** Done, or a daemon to run. */
export type Outcome = { readonly exitCode: number } | { readonly run: Config };

/** Each command is loaded when it is run: `version` needs no raw sockets. */
const RUNNERS: Readonly<Record<Exclude<CommandName, 'run'>, (invocation: Invocation) => Promise<number>>> = {
  check: async (invocation) => (await import('./check.ts')).checkCommand(invocation),
  status: async (invocation) => (await import('./status.ts')).statusCommand(invocation),
  drain: async (invocation) => (await import('./drain.ts')).drainCommand(invocation),
  undrain: async (invocation) => (await import('./undrain.ts')).undrainCommand(invocation),
  manifest: async (invocation) => (await import('./manifest.ts')).manifestCommand(invocation),
  kubeadm: async (invocation) => (await import('./kubeadm.ts')).kubeadmCommand(invocation),
  import: async (invocation) => (await import('./import.ts')).importCommand(invocation),
  config: async (invocation) => (await import('./config.ts')).configCommand(invocation),
  version: async (invocation) => (await import('./version.ts')).versionCommand(invocation),
};

function isCommand(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word);
}

function refuseWord(word: string): number {
  const near = word.startsWith('-') ? null : closestName(word, Object.keys(COMMANDS));
  const hint =
    near === null ? `the commands are ${Object.keys(COMMANDS).join(', ')}` : `did you mean ${near}?`;
  const what = word.startsWith('-') ? 'a command has to come before flags' : 'there is no such command';
  printError(`kube-vrrp: ${JSON.stringify(word)}: ${what}; ${hint}`);
  return BAD_USAGE;
}

async function dispatch(name: CommandName, args: readonly string[]): Promise<Outcome> {
  const spec = COMMANDS[name];
  const invocation = readArguments(spec, args);
  if (invocation.help) {
    print(commandHelp(spec));
    return { exitCode: 0 };
  }
  if (name !== 'run') return { exitCode: await RUNNERS[name](invocation) };
  const config = await loadConfig(invocation);
  return config.ok ? { run: config.value } : { exitCode: reportProblems('run', config.problems) };
}

/** Does what one command line asks for; what `run` asks for is left to the caller, as a configuration to run. */
export async function interpret([word, ...args]: readonly string[]): Promise<Outcome> {
  if (word === undefined) {
    printError(generalHelp());
    return { exitCode: BAD_USAGE };
  }
  if (word === '--version' || word === '-V') return dispatch('version', args);
  const wantsHelp = word === 'help' || word === '--help' || word === '-h';
  const about = wantsHelp ? args[0] : undefined;
  if (wantsHelp && about === undefined) {
    print(generalHelp());
    return { exitCode: 0 };
  }
  const name = about ?? word;
  if (!isCommand(name)) return { exitCode: refuseWord(name) };
  // As `kube-vrrp help check`, and as a flag: no command takes a word of its own.
  return dispatch(name, wantsHelp || args[0] === 'help' ? ['--help'] : args);
}
