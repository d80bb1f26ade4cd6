import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ScriptError, rewriteScript } from './script.ts';

const FOLDER = import.meta.dirname;
const SCRIPTS = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));

describe('interactions happen as they are written down (npm run interaction -- --rewrite)', () => {
  for (const name of SCRIPTS) {
    test(name, () => {
      const text = readFileSync(join(FOLDER, name), 'utf8');
      assert.equal(rewriteScript(text), text);
    });
  }
});

describe('a script', () => {
  test('that is wrong is refused by line', () => {
    const refusals: readonly [string, string][] = [
      ['advance 1s', 'line 1: advance 1s: nodes come first'],
      ['nodes 3\ndance', 'line 2: dance: there is no command dance'],
      ['nodes 3\nkill n4', 'line 2: kill n4: there is no node n4'],
      ['nodes 3\n# a comment\n\nadvance 1', 'line 4: advance 1: 1 is not a duration'],
      ['nodes 3\nsplit n1 | n2', 'line 2: split n1 | n2: n3 is in no part'],
      ['nodes 3\nclass n1 D', 'line 2: class n1 D: D is none of A, B, U, C'],
    ];
    for (const [text, message] of refusals) {
      assert.throws(() => rewriteScript(text), ScriptError);
      assert.throws(() => rewriteScript(text), { message });
    }
  });

  test('keeps all but its outputs when it is rewritten', () => {
    const text = '# A comment.\nnodes 1\nstate\n----\nwrong\noutput\n\n# Another.\n';
    const written = rewriteScript(text);
    assert.match(
      written,
      /^# A comment\.\nnodes 1\nstate\n----\n +0\.0000 s {2}n1 {2}Initialize, [^\n]+\n\n# Another\.\n$/u,
    );
    assert.equal(rewriteScript(written), written);
  });
});
