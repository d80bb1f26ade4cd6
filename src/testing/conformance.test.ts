/** docs/conformance.md names the test that shows each clause to be met: those tests must be there, and be all. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENT = readFileSync(join(ROOT, 'docs/conformance.md'), 'utf8');
const STATES = new Set(['met', 'kernel', 'not met', 'no concern']);

type Cited = { readonly name: string; readonly file: string };
type Row = { readonly clause: string; readonly state: string; readonly evidence: string };

function citedIn(text: string): Cited[] {
  const links = text.matchAll(/\[(?<name>[^\]]+)\]\(\.\.\/(?<file>[^)]+)\)/gu);
  return [...links].map(({ groups }) => ({
    name: (groups?.['name'] ?? '').replaceAll('\n', ' '),
    file: groups?.['file'] ?? '',
  }));
}

function rowsOf(text: string): Row[] {
  const lines = text.split('\n').filter((line) => /^\| [\d.]/u.test(line));
  return lines.map((line) => {
    const [, clause = '', , state = '', evidence = ''] = line.split('|').map((cell) => cell.trim());
    return { clause, state, evidence };
  });
}

/** The name as it stands in the source: the whole of a string, or what follows an interpolation in it. */
function isNamed(source: string, name: string): boolean {
  return ["'", '`', '"'].some((quote) => source.includes(`${name}${quote}`));
}

describe('docs/conformance.md', () => {
  const rows = rowsOf(DOCUMENT);

  test('has a row for each clause, each with a known state', () => {
    assert.ok(rows.length > 60, `${rows.length} rows`);
    for (const { clause, state } of rows) assert.ok(STATES.has(state), `${clause}: ${state}`);
  });

  test('a clause that is met, by us or by the kernel, has a test; one that is not has a reason', () => {
    for (const { clause, state, evidence } of rows) {
      const isClaimed = state === 'met' || state === 'kernel';
      if (isClaimed) assert.ok(citedIn(evidence).length > 0, `${clause}: ${evidence}`);
      else assert.ok(evidence.length > 10, clause);
    }
  });

  test('each test that is named exists', () => {
    for (const { name, file } of citedIn(DOCUMENT)) {
      const source = readFileSync(join(ROOT, file), 'utf8');
      assert.ok(isNamed(source, name), `${file} has no test of the name: ${name}`);
    }
  });

  test('each test that bears a clause in its name is in a table', () => {
    const named = new Set(citedIn(DOCUMENT).map(({ name }) => name));
    const files = globSync(['src/{vrrp,net,wire,config}/**/*.test.ts', 'e2e/lab/*.test.ts'], { cwd: ROOT });
    for (const file of files) {
      const source = readFileSync(join(ROOT, file), 'utf8');
      for (const [, name = ''] of source.matchAll(/test\(\s*['`]((?:RFC 9568|RFC 3768)[^'`]*)['`]/gu)) {
        assert.ok(named.has(name), `${file}: ${name}`);
      }
    }
  });
});
