/** Two kube-vrrps on one node. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { startDaemon } from '../testing/waiting-daemon.ts';
import { until } from '../testing/until.ts';

test('a second one waits and touches nothing, whatever its settings, until the first has ended', async (context) => {
  const first = startDaemon(context);
  await first.logged('waiting');
  const settings = ['--admin-address=', '--vrrp-vrid=52', '--proxy-port=36444'];
  const second = startDaemon(context, [], settings, first.daemon);
  await second.logged('waiting');
  assert.match(
    second.lines.at(-1)?.msg ?? '',
    /^waiting for the lock of this node: another kube-vrrp on this node has the VIP 10\.0\.0\.100: end one/u,
  );
  const ended = once(first.daemon, 'exit');
  first.daemon.kill('SIGTERM');
  await ended;
  await until(
    () => second.lines.some(({ msg }) => msg.startsWith('waiting for the certificates of health')),
    second.describe,
    60_000,
  );
});
