/** `kube-vrrp import`. */
import type { ConfigFile } from '../config/file.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import { importedConfiguration } from '../import/configuration.ts';
import { importHaproxy } from '../import/haproxy.ts';
import type { Imported } from '../import/imported.ts';
import { importKeepalived } from '../import/keepalived.ts';
import { importKubeVip } from '../import/kube-vip.ts';
import type { Invocation } from './arguments.ts';
import { nameOf, readText, reportProblems } from './load-config.ts';
import { print, printError } from './terminal.ts';

/** By option; a later one beats an earlier one. */
const IMPORTERS: readonly (readonly [option: string, importer: (file: ConfigFile) => Imported])[] = [
  ['kube-vip', importKubeVip],
  ['keepalived', importKeepalived],
  ['haproxy', importHaproxy],
];

type Sources = { readonly imported: readonly Imported[]; readonly problems: readonly ConfigProblem[] };

async function readSources({ options }: Invocation): Promise<Sources> {
  const imported: Imported[] = [];
  const problems: ConfigProblem[] = [];
  for (const [option, importer] of IMPORTERS) {
    const name = options.get(option);
    if (typeof name !== 'string') continue;
    const read = await readText(name);
    if ('text' in read) imported.push(importer({ name: nameOf(name), text: read.text }));
    else problems.push({ path: `--${option}`, value: quoteValue(name), message: read.refusal, where: null });
  }
  if (imported.length === 0 && problems.length === 0) {
    const names = IMPORTERS.map(([option]) => `--${option}`).join(', ');
    problems.push({
      path: 'file',
      value: null,
      message: `missing; give one or more of ${names}`,
      where: null,
    });
  }
  return { imported, problems };
}

/**
 * Prints a configuration that does what the files of another program did, and to standard error what is different; 2
 * when a file cannot be read, or when what it says makes no configuration.
 */
export async function importCommand(invocation: Invocation): Promise<number> {
  const { imported, problems: unread } = await readSources(invocation);
  const problems = [...invocation.problems, ...unread];
  if (problems.length > 0) return reportProblems('import', problems);
  const result = importedConfiguration(imported, {
    env: process.env,
    flags: invocation.configFlags,
  });
  for (const { where, text } of result.findings) printError(`${where}: ${text}`);
  if (!result.ok) return reportProblems('import', result.problems);
  print(result.yaml.trimEnd());
  return 0;
}
