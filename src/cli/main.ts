#!/usr/bin/env node
/** The entry point. */
import './memory.ts';
import { endQuietlyOnClosedPipe } from './terminal.ts';

const words = process.argv.slice(2);

endQuietlyOnClosedPipe();
if (words[0] === 'run') {
  const { interpretElsewhere } = await import('./interpret-elsewhere.ts');
  const outcome = await interpretElsewhere(words);
  if ('run' in outcome) process.exitCode = await (await import('./run.ts')).runUntilStopped(outcome.run);
  else process.exitCode = outcome.exitCode;
} else {
  const { interpret } = await import('./command-line.ts');
  const outcome = await interpret(words);
  if ('exitCode' in outcome) process.exitCode = outcome.exitCode;
}
