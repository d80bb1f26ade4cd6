import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { parseSource, readSources, ROOT } from './sources.ts';
import { PROMISES } from '../../e2e/lab/promises.ts';
import * as tidy from './tidy.ts';

const sources = readSources();
const documents = tidy.readDocuments();
const prose = [...documents, ...tidy.commentsOf(sources)];
const files = tidy.repositoryFiles();
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const scriptNames = new Set(Object.keys(scripts));

/** See src/testing/simulator/mutants.ts. */
const REPLACED_BY_MUTANTS = new Set([
  ...[
    'state',
    'started',
    'isDrained',
    'holdOffUntilMs',
    'stepDownIfStalled',
    'isOutrankedBy',
    'isEligible',
  ].map((name) => `src/vrrp/virtual-router.ts ${name}`),
  ...['intervalMs', 'atMs', 'answersResignation'].map((name) => `src/vrrp/intervals.ts ${name}`),
]);

function assertNone(found: readonly string[]): void {
  assert.ok(found.length === 0, `\n${found.join('\n')}`);
}

const document = (text: string): tidy.Prose => ({ path: 'docs/x.md', line: 1, text });
const source = (text: string) => parseSource('src/ip/x.ts', text);

describe('documents and sources', () => {
  test('name only files that exist', () => {
    assertNone(tidy.deadReferences(prose, files));
    for (const text of [
      'see NOWHERE.md',
      '(`src/ip/no.ts`)',
      '[a](../docs/no.md)',
      'e2e/no.sh',
      'no-*.test.ts',
    ])
      assert.equal(tidy.deadReferences([document(text)], files).length, 1, text);
    for (const text of [
      'docs/{kind,quick-start}.md',
      'Next.js',
      '/etc/x.yaml',
      'address.ts',
      'e2e/lab/*.test.ts',
    ])
      assertNone(tidy.deadReferences([document(text)], files));
  });

  test('name only scripts that exist', () => {
    assertNone(tidy.deadScripts(prose, scriptNames));
    assert.equal(tidy.deadScripts([document('`npm run nothing`')], scriptNames).length, 1);
  });

  test('promise only scenarios that exist', () => {
    const scenariosOf = (file: string) => sources.find(({ path }) => path === `e2e/lab/${file}.test.ts`);
    assertNone(
      PROMISES.flatMap(({ file, scenarios }) =>
        tidy.deadScenarios(
          scenarios,
          scenariosOf(file) ?? assert.fail(`e2e/lab/${file}.test.ts is not there`),
        ),
      ),
    );
    const some = source('describe(`of ${x}:`, () => test("a (b)", () => {}));');
    assertNone(tidy.deadScenarios(['of IPv4:', 'of IPv4: a (b)', 'a (b)'], some));
    assert.equal(tidy.deadScenarios(['of IPv4: c', 'for IPv4:', 'of IPv4: a (b) c'], some).length, 3);
  });

  test('link only to files and headings that exist', () => {
    assertNone(tidy.deadLinks(documents));
    for (const text of ['[a](no.md)', '# A b\n[a](#a-c)', '[a](../README.md#nowhere)'])
      assert.equal(tidy.deadLinks([...documents, document(text)]).length, 1, text);
    assertNone(tidy.deadLinks([document('# `A` b, c\n[a](#a-b-c) and `[a](no.md)`')]));
  });

  test('have no line over 120 columns', () => {
    assertNone([...tidy.longDocumentLines(documents), ...tidy.longSourceLines(sources)]);
    const long = 'word '.repeat(25);
    assert.equal(tidy.longDocumentLines([document(long)]).length, 1);
    assertNone(tidy.longDocumentLines([document(`| ${long} |\n\`\`\`\n${long}\n\`\`\`\n`)]));
    for (const text of [`// ${long}`, `const x = '${long}'; // ${long}`, `const y = [${'1, '.repeat(40)}];`])
      assert.equal(tidy.longSourceLines([source(text)]).length, 1, text);
    assertNone(tidy.longSourceLines([source(`const x = '${long}';\nconst y = \`\${x} ${long}\`;`)]));
  });

  test('have one docstring each', () => {
    assertNone(tidy.doubleDocstrings(sources));
    assert.equal(tidy.doubleDocstrings([source('/** A. */\n/** B. */\nlet x;')]).length, 1);
    assert.equal(tidy.doubleDocstrings([source('let y;\n/** A. */\n\n/** B. */\nlet x;')]).length, 1);
    assertNone(tidy.doubleDocstrings([source('/** The file. */\n\n/** B. */\nlet x;')]));
  });

  test('hide members behind #private, but for those which a mutant of the simulator replaces', () => {
    assertNone(tidy.privateMembers(sources, REPLACED_BY_MUTANTS));
    for (const text of ['class A {\n  private x = 1;\n}', 'class A {\n  private static async x() {}\n}'])
      assert.equal(tidy.privateMembers([source(text)], new Set()).length, 1, text);
    assertNone(tidy.privateMembers([source('class A {\n  private constructor() {}\n}')], new Set()));
  });

  test('spell as Americans do', () => {
    assertNone(tidy.britishWords(tidy.readWritten()));
    assert.equal(tidy.britishWords([document('the Neighbours know')]).length, 1);
  });
});
