import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { clientsByMemory, memoryLimitBytes } from './memory-limit.ts';

const MIB = 1024 * 1024;

/** A tree of cgroups with these files in it. */
function cgroups(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'cgroup-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test('the limit of a pod that sees its own cgroup as the root, version 2', (t) => {
  const root = cgroups(t, { 'memory.max': `${512 * MIB}\n` });
  assert.equal(memoryLimitBytes(root, '0::/\n'), 512 * MIB);
});

test('the least limit of a cgroup and those above it, version 2', (t) => {
  const root = cgroups(t, { 'a/memory.max': `${256 * MIB}\n`, 'a/b/memory.max': 'max\n' });
  assert.equal(memoryLimitBytes(root, '0::/a/b\n'), 256 * MIB);
});

test('the limit of a pod whose path is of the host, version 1', (t) => {
  const root = cgroups(t, { 'memory/memory.limit_in_bytes': `${300 * MIB}\n` });
  const own = '9:name=systemd:/kubepods/pod1/x\n5:memory:/kubepods/pod1/x\n4:cpu,cpuacct:/\n';
  assert.equal(memoryLimitBytes(root, own), 300 * MIB);
});

test('no limit: no file, max, or what version 1 says for none', (t) => {
  assert.equal(memoryLimitBytes(cgroups(t, {}), '0::/\n'), Number.POSITIVE_INFINITY);
  assert.equal(memoryLimitBytes(cgroups(t, { 'memory.max': 'max\n' }), '0::/\n'), Number.POSITIVE_INFINITY);
  const root = cgroups(t, { 'memory/memory.limit_in_bytes': '9223372036854771712\n' });
  assert.ok(clientsByMemory(memoryLimitBytes(root, '5:memory:/\n')) > 1e9);
});

test('a pod of 512 MiB has room for some 56,000 clients that say little, and a tiny one for 16', () => {
  const clients = clientsByMemory(512 * MIB);
  assert.ok(clients > 50_000 && clients < 60_000, `${clients}`);
  assert.equal(clientsByMemory(64 * MIB), 16);
});
