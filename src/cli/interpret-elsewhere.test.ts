import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rereadElsewhere } from './interpret-elsewhere.ts';

test('a configuration from standard input is not waited for when it is to be read again', async () => {
  for (const words of [
    ['run', '--config', '-'],
    ['run', '--config=-'],
  ]) {
    const reread = await rereadElsewhere(words);
    assert.ok('problems' in reread);
    assert.match(reread.problems, /^it came from standard input, which cannot be read again/u);
  }
});

test('what is wrong with a configuration that is read again is one line, and nothing is printed', async () => {
  const reread = await rereadElsewhere(['run', '--vip', 'nowhere', '--peers', '10.0.0.1']);
  assert.ok('problems' in reread);
  assert.match(reread.problems, /vip/u);
  assert.doesNotMatch(reread.problems, /\n/u);
});
