/** `npm run interaction -- [--rewrite] [FILE ...]`: prints scripts as they should be, or rewrites them so. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rewriteScript } from './script.ts';

const { values, positionals } = parseArgs({
  options: { rewrite: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const folder = import.meta.dirname;
const all = readdirSync(folder).filter((name) => name.endsWith('.txt'));
const paths = positionals.length > 0 ? positionals : all.map((name) => join(folder, name));
for (const path of paths) {
  const text = rewriteScript(readFileSync(path, 'utf8'));
  if (values.rewrite) writeFileSync(path, text);
  else console.log(text);
}
