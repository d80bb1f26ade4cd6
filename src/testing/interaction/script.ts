/**
 * Interaction scripts: commands, `----`, and what happens then, up to the next empty line. Comments begin with #. The
 * idea and the format are those of etcd-io/raft's datadriven tests.
 */
import { Stage } from './stage.ts';

const SEPARATOR = '----';

/** What is wrong with a script, and in which line (from 1). */
export class ScriptError extends Error {
  constructor(line: number, text: string) {
    super(`line ${line}: ${text}`);
  }
}

/**
 * The script as it should be: each output is what its commands do now. Throws ScriptError for a command that is wrong,
 * and whatever a rule of the simulator throws when it is broken.
 */
export function rewriteScript(text: string): string {
  const stage = new Stage();
  const lines = text.split('\n');
  const written: string[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    written.push(line);
    if (line === SEPARATOR) {
      written.push(...stage.takeOutput());
      while (at + 1 < lines.length && lines[at + 1] !== '') at += 1;
    } else if (line !== '' && !line.startsWith('#')) run(stage, line, at + 1);
  }
  return written.join('\n');
}

function run(stage: Stage, command: string, line: number): void {
  const problem = stage.run(command);
  if (problem !== null) throw new ScriptError(line, `${command}: ${problem}`);
}
