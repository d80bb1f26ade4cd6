/** What people and editors read about the configuration, made from the schema. Pure. */
import * as z from 'zod';

import { CONFIG_FIELDS, configSchema } from './schema.ts';

function cell(value: string): string {
  return value.replaceAll('|', '\\|');
}

/** The reference of all fields as a Markdown table. */
export function configReference(): string {
  const rows = CONFIG_FIELDS.map((field) => {
    const fallback = field.required ? 'required' : cell(field.defaultText ?? '');
    const names = `\`--${field.flag}\` \`${field.env}\``;
    return `| \`${field.path}\` | ${fallback} | ${cell(field.accepts)} | ${cell(field.description)} | ${names} |`;
  });
  return [
    '| Key | Default | Accepts | Meaning | Flag and variable |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** The JSON Schema (draft 2020-12) of a configuration file. Rules that join fields are in the descriptions only. */
export function configJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) };
}
