#!/usr/bin/env node
/** The entry point. */
import './own-node.ts';
import './debugger.ts';
import './memory.ts';
import { endAtSignals } from './early-signals.ts';
import { endQuietlyOnClosedPipe } from './terminal.ts';

const words = process.argv.slice(2);

endQuietlyOnClosedPipe();
if (words[0] === 'run') {
  const leaveSignals = endAtSignals();
  const { interpretElsewhere, rereadElsewhere } = await import('./interpret-elsewhere.ts');
  const outcome = await interpretElsewhere(words);
  if ('run' in outcome) {
    const { runUntilStopped } = await import('./run.ts');
    process.exitCode = await runUntilStopped(outcome.run, () => rereadElsewhere(words), leaveSignals);
  } else process.exitCode = outcome.exitCode;
} else {
  const { interpret } = await import('./command-line.ts');
  const outcome = await interpret(words);
  if ('exitCode' in outcome) process.exitCode = outcome.exitCode;
}
