import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Status } from '../daemon/status.ts';
import { TestCa } from '../testing/certificates.ts';
import { kubeVrrp } from '../testing/command.ts';
import { until } from '../testing/until.ts';
import { DEADLINE_MS, startDaemon } from '../testing/waiting-daemon.ts';

for (const [commands, drained] of [
  [['drain'], true],
  [['drain', 'undrain'], false],
] as const) {
  test(`${commands.join(' and ')} of a daemon that still waits is kept until it takes part`, async (context) => {
    const { logged, describe, caFile, socket } = startDaemon(context, [], ['--admin-address=']);
    const admin = [`--admin-socket=${socket}`, '--admin-address='];
    const status = async (): Promise<Status> => {
      const { stdout, stderr } = await kubeVrrp(['status', '--json', ...admin]);
      assert.equal(stderr, '', describe());
      return JSON.parse(stdout) as Status;
    };
    await logged('waiting');
    for (const command of commands) {
      const { code, stderr } = await kubeVrrp([command, `--admin-socket=${socket}`]);
      assert.deepEqual([code, stderr], [0, ''], describe());
    }
    assert.equal((await status()).drained, drained);
    writeFileSync(caFile, (await TestCa.create('ca')).pair.cert);
    await logged('ready');
    await until(async () => (await status()).virtualRouters.length > 0, describe, DEADLINE_MS);
    const { drained: isDrained, virtualRouters } = await status();
    assert.equal(isDrained, drained);
    assert.equal(virtualRouters[0]?.priority === 0, drained, JSON.stringify(virtualRouters));
  });
}
