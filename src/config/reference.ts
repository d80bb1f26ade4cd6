/** What people and editors read about the configuration, made from the schema. Pure. */
import * as z from 'zod';

import { CONFIG_FIELDS, CONFIG_GROUPS, configSchema, type ConfigField } from './schema.ts';

function cell(value: string): string {
  return value.replaceAll('|', '\\|');
}

function row(field: ConfigField): string {
  const fallback = field.required ? 'required' : cell(field.defaultText ?? '');
  const names = `\`--${field.flag}\` \`${field.env}\``;
  return `| \`${field.path}\` | ${fallback} | ${cell(field.accepts)} | ${cell(field.description)} | ${names} |`;
}

function table(fields: readonly ConfigField[]): string[] {
  return [
    '| Key | Default | Accepts | Meaning | Flag and variable |',
    '|---|---|---|---|---|',
    ...fields.map(row),
    '',
  ];
}

const INTRODUCTION = `# Configuration

<!-- Made by \`kube-vrrp config --reference\`: change src/config/schema.ts, not this file. -->

One YAML file for all control-plane nodes, given by \`--config FILE\` or \`KUBE_VRRP_CONFIG\`. Only \`vip\` and \`peers\` have
to be there:

\`\`\`yaml
vip: 192.168.100.10
peers: [192.168.100.1, 192.168.100.2, 192.168.100.3]
\`\`\`

Each key is also a flag and an environment variable, where a list is separated by commas. A flag beats a variable, and
a variable beats the file. An unknown key, flag or variable is an error, and all errors are reported at once.

- \`kube-vrrp config --print\` prints what a node runs with, and where each value comes from; in a pod,
  \`kubectl -n kube-system exec kube-vrrp-NODE -- kube-vrrp config --print\`.
- \`kube-vrrp check\` says whether the configuration fits a node.
- \`kube-vrrp config --schema\` prints the JSON Schema of the file for editors, which is also
  [here](kube-vrrp.schema.json). Rules that join several keys are in the descriptions only.
`;

/** The reference of all fields as a Markdown page. */
export function configReference(): string {
  const top = CONFIG_FIELDS.filter(({ path }) => !path.includes('.'));
  const groups = CONFIG_GROUPS.flatMap((group) => {
    const description = configSchema.shape[group as keyof typeof configSchema.shape].description ?? '';
    const fields = CONFIG_FIELDS.filter(({ path }) => path.startsWith(`${group}.`));
    return [`## ${group}`, '', description, '', ...table(fields)];
  });
  return [INTRODUCTION, '## At the top', '', ...table(top), ...groups].join('\n');
}

/** The JSON Schema (draft 2020-12) of a configuration file. Rules that join fields are in the descriptions only. */
export function configJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) };
}
