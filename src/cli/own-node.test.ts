import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

import { execute, MAIN } from '../testing/command.ts';

/** The entry point in a package that is built for this version of Node. */
async function runBuiltFor(node: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-node-'));
  try {
    await cp(dirname(dirname(MAIN)), join(folder, 'src'), { recursive: true });
    await symlink(join(dirname(dirname(dirname(MAIN))), 'node_modules'), join(folder, 'node_modules'));
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ type: 'module', version: '0', engines: { node } }),
    );
    const copy = join(folder, 'src', relative(dirname(dirname(MAIN)), MAIN));
    const { code, stderr } = await execute(process.execPath, [copy, 'check']);
    return `${code} ${stderr}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('another Node than the one that it is built for is refused in one sentence, before anything is loaded', async () => {
  const refusal = await runBuiltFor('22.x');
  assert.match(refusal, /^1 kube-vrrp: \S+ is Node 24\.\d+\.\d+, and kube-vrrp is built for Node 22: .*\n$/);
  // With the right one it goes on, to what the command lacks.
  assert.match(await runBuiltFor('>=24'), /^2 kube-vrrp check: 2 problems/);
});
