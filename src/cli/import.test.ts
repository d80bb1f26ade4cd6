/** `import` as people use it: a real process, its output and its exit code. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';

import { kubeVrrp, type Outcome } from '../testing/command.ts';

const KEEPALIVED = `vrrp_instance VI_1 {
    virtual_router_id 52
    priority 101
    virtual_ipaddress {
        10.0.0.9
    }
}
`;
const HAPROXY = `listen api
    bind *:8443
    server a 10.0.0.1:6443 check
    server b 10.0.0.2:6443 check
`;

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-import-'));
  await writeFile(inFolder('keepalived.conf'), KEEPALIVED);
  await writeFile(inFolder('haproxy.cfg'), HAPROXY);
});

after(async () => {
  await rm(folder, { recursive: true });
});

const imported = (...args: readonly string[]): Promise<Outcome> => kubeVrrp(['import', ...args]);
const inFolder = (name: string): string => join(folder, name);

suite('kube-vrrp import', { concurrency: 3 }, () => {
  test('prints a configuration that manifest takes; what was left out goes to standard error', async () => {
    const { code, stdout, stderr } = await imported(
      '--keepalived',
      inFolder('keepalived.conf'),
      '--haproxy',
      inFolder('haproxy.cfg'),
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^\S+keepalived\.conf line 3: priority is left out: .*\n$/);
    await writeFile(inFolder('kube-vrrp.yaml'), stdout);
    const manifest = await kubeVrrp(['manifest', '--config', inFolder('kube-vrrp.yaml')]);
    assert.equal(manifest.code, 0, manifest.stderr);
    assert.match(manifest.stdout, /10\.0\.0\.1,10\.0\.0\.2/);
  });

  test('what is missing is told with what was left out, and the exit code is 2', async () => {
    const { code, stdout, stderr } = await imported(
      '--keepalived',
      inFolder('keepalived.conf'),
      '--vrrp-vrid',
      '999',
    );
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /line 3: priority is left out/);
    assert.match(stderr, /^ {2}peers: missing; .*--peers/m);
    assert.match(stderr, /^ {2}vrrp\.vrid = 999: .* \(flag --vrrp-vrid\)$/m);
  });

  test('without a file, or with one that is not there, it says which to give', async () => {
    const [none, wrong] = await Promise.all([
      imported(),
      imported('--haproxy', inFolder('nothing.cfg'), '--vipp', '1'),
    ]);
    assert.deepEqual([none.code, wrong.code], [2, 2]);
    assert.match(none.stderr, /file: missing; give one or more of --kube-vip, --keepalived, --haproxy/);
    assert.match(wrong.stderr, /--haproxy = "\S+nothing\.cfg": cannot be read: no such file/);
    assert.match(wrong.stderr, /--vipp.*did you mean --vip\?/);
  });
});
