import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { describe, test } from 'node:test';

import { hasCapability, hasEffectiveCapability, SCHED_SETATTR_BY_ARCH } from './process.ts';

describe('capabilities', () => {
  test('the effective set counts, not the others', () => {
    const status = (effective: string) =>
      `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;
    assert.equal(hasEffectiveCapability(status('0000000000000000'), 'NET_RAW'), false);
    assert.equal(hasEffectiveCapability(status('0000000000002000'), 'NET_RAW'), true);
    assert.equal(hasEffectiveCapability(status('0000000000002000'), 'NET_ADMIN'), false);
    assert.equal(hasEffectiveCapability(status('0000000000001000'), 'NET_ADMIN'), true);
    assert.equal(hasEffectiveCapability(status('0000000000800000'), 'SYS_NICE'), true);
    assert.equal(hasEffectiveCapability(status('000001ffff7fcfff'), 'SYS_NICE'), false);
    assert.equal(hasEffectiveCapability('', 'NET_RAW'), false);
  });

  test('those of this process are what the kernel says', () => {
    const shell = 'grep CapEff /proc/self/status';
    const status = execFileSync('sh', ['-c', shell], { encoding: 'utf8' });
    assert.equal(hasCapability('NET_RAW'), hasEffectiveCapability(status, 'NET_RAW'));
  });
});

describe('scheduling', () => {
  // arm64 has the generic numbers. Newer headers have them in the architecture's own file, as x86-64 always had.
  for (const [arch, headers] of [
    ['x64', ['x86_64-linux-gnu/asm/unistd_64.h']],
    ['arm64', ['aarch64-linux-gnu/asm/unistd_64.h', 'asm-generic/unistd.h']],
  ] as const) {
    const header = headers.map((name) => `/usr/include/${name}`).find(existsSync);
    const skip = header === undefined && 'no headers of it on this machine';
    test(`the number of sched_setattr(2) on ${arch} is that of the kernel's headers`, { skip }, () => {
      const number = /^#define __NR_sched_setattr (\d+)$/m.exec(readFileSync(header ?? '', 'utf8'))?.[1];
      assert.equal(SCHED_SETATTR_BY_ARCH.get(arch), Number(number));
    });
  }

  // In a process of its own, which may keep what it was granted.
  const ask = (): { granted: string; policy: string; nice: string; slice: string; threadPolicy: string } => {
    const url = new URL('process.ts', import.meta.url).href;
    // proc_pid_stat(5): after "(comm) ", nice is the 17th field and the policy the 39th.
    const code = `
      const { readFileSync, readdirSync } = await import('node:fs');
      const { Worker } = await import('node:worker_threads');
      const { raisePriority } = await import(${JSON.stringify(url)});
      const fields = (path) => readFileSync(path, 'utf8').replace(/^.*\\) /, '').split(' ');
      const granted = raisePriority();
      const own = fields('/proc/self/stat');
      const before = new Set(readdirSync('/proc/self/task'));
      const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
      await new Promise((resolve) => worker.once('online', resolve));
      const later = readdirSync('/proc/self/task').filter((task) => !before.has(task));
      const threads = later.map((task) => fields('/proc/self/task/' + task + '/stat'));
      const slice = /^se\\.slice *: *(\\d+)$/m.exec(readFileSync('/proc/self/sched', 'utf8'))?.[1] ?? 'none';
      console.log(JSON.stringify({ granted, policy: own[38], nice: own[16], slice,
        threadPolicy: [...new Set(threads.map((t) => t[38] + '/' + t[16]))].join() }));
      process.exit();`;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code], {
      encoding: 'utf8',
    });
    return JSON.parse(output) as ReturnType<typeof ask>;
  };

  test('what is reported as granted is what the kernel does, and threads started later are ordinary', () => {
    const result = ask();
    const expected = {
      raised: { policy: '0', nice: '-10' },
      normal: { policy: '0', nice: '0' },
    }[result.granted];
    assert.ok(expected !== undefined, result.granted);
    assert.equal(result.policy, expected.policy);
    if (result.granted !== 'normal') assert.equal(result.nice, expected.nice);
    if (result.granted !== 'normal') assert.equal(result.threadPolicy, '0/0');
    // Kernels before 6.12 have no slice of a thread's own; some show none.
    const [major = 0, minor = 0] = release().split('.').map(Number);
    if (result.slice !== 'none' && (major > 6 || (major === 6 && minor >= 12)))
      assert.equal(result.slice, '100000');
  });
});

test('memory that was freed leaves the process', () => {
  const url = new URL('./process.ts', import.meta.url).href;
  // The last block stays in use, so free() cannot shrink the heap by itself.
  const code = `
    import { readFileSync } from 'node:fs';
    import koffi from 'koffi';
    const { returnFreedMemory } = await import(${JSON.stringify(url)});
    const symbols = koffi.load(null);
    const calloc = symbols.func('void *calloc(size_t count, size_t size)');
    const memset = symbols.func('void *memset(void *at, int octet, size_t size)');
    const free = symbols.func('void free(void *at)');
    const residentKib = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const blocks = Array.from({ length: 20_000 }, () => memset(calloc(1, 1024), 1, 1024));
    for (const block of blocks.slice(0, -1)) free(block);
    const beforeKib = residentKib();
    returnFreedMemory();
    console.log(beforeKib - residentKib());`;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code], {
    encoding: 'utf8',
  });
  assert.ok(Number(output) > 10_000, `${output.trim()} KiB of 20,000 left the process`);
});
