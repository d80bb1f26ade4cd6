/** `npm run demo` is the first thing a reader runs: it must not leave anything behind when they have seen enough. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { eventually } from '../kit/eventually.ts';
import { LabProcess } from '../kit/lab-process.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

describe('the demo', () => {
  test('Ctrl-C in the middle of it removes the lab and all its processes', async () => {
    const lines: string[] = [];
    const demo = new LabProcess({
      namespace: null,
      command: [process.execPath, join(import.meta.dirname, '../demo/main.ts')],
      onLine: (line) => lines.push(line),
    });
    const labName = `kube-vrrp-lab-${demo.pid}-`;
    const namespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(labName));
    await eventually(() => demo.exit !== null || lines.some((line) => line.endsWith('link cut')), {
      what: 'the demo to cut a link',
      deadlineMs: 60_000,
      otherwise: () => [...lines, demo.stderr].join('\n'),
    });
    assert.equal(demo.exit, null, lines.join('\n'));
    assert.equal(namespaces().length, 5);
    demo.signal('SIGINT');
    assert.deepEqual(await demo.exited, { code: 130, signal: null });
    assert.deepEqual(namespaces(), []);
    assert.ok(
      lines.every((line) => !line.includes('\x1b')),
      'colors in a pipe',
    );
    assert.equal(demo.stderr, '');
  });
});
