import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Config } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { judgeNodeIp } from './node-ip.ts';

function config(vip: string): Config {
  const flags = [
    { name: 'vip', value: vip },
    { name: 'peers', value: '10.0.0.1,fd00::1' },
  ];
  const parsed = parseConfig({ file: null, env: {}, flags });
  assert.ok(parsed.ok);
  return parsed.value;
}

function levelOf(words: readonly string[] | null, vip = 'fd00::10'): string {
  return judgeNodeIp(config(vip), words)
    .map(({ level }) => level)
    .join();
}

test('an IPv4 VIP asks nothing of kubelet', () => {
  assert.equal(levelOf(['kubelet'], '10.0.0.10'), '');
  assert.equal(levelOf(null, '10.0.0.10,fd00::10'), 'skip');
});

test('kubelet has to name its address beside an IPv6 VIP', () => {
  assert.equal(levelOf(['kubelet', '--node-ip=fd00::1']), 'ok');
  assert.equal(levelOf(['kubelet', '--node-ip', '10.0.0.1,fd00::1', '--v=2']), 'ok');
  for (const words of [
    ['kubelet'],
    ['kubelet', '--node-ip=::'],
    ['kubelet', '--node-ip'],
    ['kubelet', '--node-ip='],
  ])
    assert.equal(levelOf(words), 'warn', words.join(' '));
  assert.equal(levelOf(['kubelet', '--node-ip=fd00:0::10']), 'fail');
});

test('a kubelet that cannot be seen was not looked at', () => {
  const [result] = judgeNodeIp(config('fd00::10'), null);
  assert.equal(result?.level, 'skip');
  assert.match(result.message, /^did not find kubelet \(a container does not see it\); without --node-ip/);
});
