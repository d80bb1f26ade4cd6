/** `kube-vrrp config`. */
import { printConfig } from '../config/printed.ts';
import { configJsonSchema, configReference } from '../config/reference.ts';
import type { Invocation } from './arguments.ts';
import { load, reportProblems } from './load-config.ts';
import { print } from './terminal.ts';

const TOPICS = ['print', 'reference', 'schema'] as const;

/** Prints the configuration with the origin of each value, or what can be configured; 2 when something is wrong. */
export async function configCommand(invocation: Invocation): Promise<number> {
  const [topic = 'print', ...others] = TOPICS.filter((name) => invocation.options.has(name));
  const problems = others.map((name) => ({
    path: `--${name}`,
    value: null,
    message: `expected one of them, as --${topic} is given`,
    where: null,
  }));
  if (topic !== 'print' || problems.length > 0) {
    const all = [...invocation.problems, ...problems];
    if (all.length > 0) return reportProblems('config', all);
    print(topic === 'reference' ? configReference().trimEnd() : JSON.stringify(configJsonSchema(), null, 2));
    return 0;
  }
  const printed = await load(invocation, printConfig);
  if (!printed.ok) return reportProblems('config', printed.problems);
  print(printed.value.trimEnd());
  return 0;
}
