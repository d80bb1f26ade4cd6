/** Programs that the suite runs, and what they say when they fail. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { monotonicMs } from '../../src/runtime/clock.ts';

export type CommandOptions = {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The program is killed when it takes longer. */
  readonly deadlineMs?: number;
  /** For each line that the program writes, to whichever output, as it comes. */
  readonly onLine?: (line: string) => void;
};

export type CommandResult = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

const DEADLINE_MS = 120_000;
/** What a failing program said last is what it failed of, but for the places in its own code (Go prints those). */
const SHOWN_CHARACTERS = 4000;
const GO_STACK = /^(?:\t.*|[\w./-]+\.(?:\(\*?\w+\)\.)?[\w.]+(?:\(.*\))?|Stack Trace: *)\n/gm;

/** Runs a program to its end. Rejects only when it cannot be started. */
export function attempt(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program = '', ...args] = command;
  const fromMs = monotonicMs();
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    stdio: 'pipe',
    timeout: options.deadlineMs ?? DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text));
    if (options.onLine !== undefined) createInterface({ input: child[name] }).on('line', options.onLine);
  }
  child.stdin.on('error', () => {
    // The program ended without reading it; its exit tells.
  });
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${program} cannot be run: ${error.message}`)));
    child.on('close', (code, signal) => {
      const seconds = ((monotonicMs() - fromMs) / 1000).toFixed(0);
      const ending = signal === null ? '' : `${program} was ended by ${signal} after ${seconds} s\n`;
      resolve({ exitCode: code ?? 1, stdout: output.stdout, stderr: ending + output.stderr });
    });
  });
}

/** Runs a program to its end and returns its standard output without the last line break. Rejects when it fails. */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await attempt(command, options);
  if (exitCode !== 0) {
    const said = (stderr.trim() || stdout.trim()).replaceAll(GO_STACK, '').slice(-SHOWN_CHARACTERS);
    throw new Error(`${command.join(' ')} failed with exit code ${exitCode}: ${said}`);
  }
  return stdout.trimEnd();
}
