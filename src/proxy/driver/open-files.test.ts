import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { clientsByOpenFiles } from './open-files.ts';

test('two descriptors for each client are within the limit, beside the pipes and the rest of the process', () => {
  assert.equal(clientsByOpenFiles(1, 20_768), 10_128);
  assert.equal(clientsByOpenFiles(2, 20_768), 10_000);
});

test('there is room for some clients under the smallest limit, and not for more than memory allows', () => {
  assert.equal(clientsByOpenFiles(1, 64), 16);
  assert.equal(clientsByOpenFiles(1, Number.POSITIVE_INFINITY), 65_536);
});

test("the process's own limit is read, which is the hard one from the start", () => {
  const module = JSON.stringify(new URL('open-files.ts', import.meta.url).href);
  const script = `console.log((await import(${module})).clientsByOpenFiles(1));`;
  const limited = ['-c', 'ulimit -Sn 1024 && ulimit -Hn 4096 && exec "$0" --input-type=module -e "$1"'];
  const answer = execFileSync('sh', [...limited, process.execPath, script], { encoding: 'utf8' });
  assert.equal(Number(answer), clientsByOpenFiles(1, 4096));
});
