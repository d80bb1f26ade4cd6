/**
 * `manifest` and `kubeadm` as people use them: real processes, their output, exit codes and the examples in manifests/.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { parse } from 'yaml';

import { VERSION } from '../daemon/version.ts';
import { kubeVrrp as cli } from '../testing/command.ts';

const EXAMPLES = fileURLToPath(new URL('../../manifests', import.meta.url));
const THREE_NODES = ['--vip', '192.168.100.10', '--peers', '192.168.100.1,192.168.100.2,192.168.100.3'];

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-manifest-'));
});

after(async () => {
  await rm(folder, { recursive: true });
});

/** The commands of manifests/README.md: what they are given, and the file that they fill. */
async function readExamples(): Promise<{ args: string[]; file: string }[]> {
  const text = await readFile(join(EXAMPLES, 'README.md'), 'utf8');
  return [...text.matchAll(/^kube-vrrp (.+) > manifests\/(\S+)$/gm)].map(([, args = '', file = '']) => ({
    args: args.split(' '),
    file,
  }));
}

suite('what kubeadm clusters are given', { concurrency: 3 }, () => {
  test('the examples are what the commands beside them print, and none is left over', async () => {
    const examples = await readExamples();
    const files = await readdir(EXAMPLES);
    assert.deepEqual(
      examples.map(({ file }) => file).toSorted(),
      files.filter((file) => file !== 'README.md').toSorted(),
    );
    await Promise.all(
      examples.map(async ({ args, file }) => {
        const { code, stdout, stderr } = await cli(args);
        assert.deepEqual([code, stderr], [0, '']);
        const hint = `manifests/${file} is out of date: manifests/README.md says how to make it again`;
        assert.equal(await readFile(join(EXAMPLES, file), 'utf8'), stdout, hint);
      }),
    );
  });

  test('file, variables and flags make the manifest, as they make what run does', async () => {
    const file = join(folder, 'kube-vrrp.yaml');
    await writeFile(file, 'vip: 10.0.0.10\npeers: [10.0.0.1]\nvrrp: { vrid: 7, preempt: never }\n');
    const { code, stdout } = await cli(
      ['manifest', '--config', file, '--name', 'vip', '--vrrp-preempt', 'always'],
      {
        KUBE_VRRP_VRRP_VRID: '8',
      },
    );
    assert.equal(code, 0);
    const pod = parse(stdout) as { spec: { containers: { name: string; image: string; env: unknown }[] } };
    const [container] = pod.spec.containers;
    assert.deepEqual(container?.env, [
      { name: 'KUBE_VRRP_VIP', value: '10.0.0.10' },
      { name: 'KUBE_VRRP_PEERS', value: '10.0.0.1' },
      { name: 'KUBE_VRRP_VRRP_VRID', value: '8' },
      { name: 'KUBE_VRRP_VRRP_PREEMPT', value: 'always' },
    ]);
    assert.deepEqual([container.name, container.image], ['vip', `kube-vrrp:${VERSION}`]);
  });

  test('manifest tells what is wrong in configuration and options at once, and prints no manifest', async () => {
    const { code, stdout, stderr } = await cli([
      'manifest',
      '--vip',
      'x',
      '--image',
      'a b',
      '--name',
      'A',
      'extra',
    ]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      'kube-vrrp manifest: 5 problems in the configuration or the arguments:',
      '  "extra": unexpected argument; flags start with --',
      '  vip[0] = "x": expected an IPv4 or IPv6 address of one host, without a prefix length (flag --vip)',
      '  peers: missing; expected a list of 1 to 255 IPv4 or IPv6 addresses; set it in the file, by --peers or by KUBE_VRRP_PEERS',
      '  --image = "a b": expected the reference of an image, such as registry.example/kube-vrrp:1.0.0',
      '  --name = "A": expected 1 to 63 lower-case letters, digits and dashes, such as kube-vrrp',
      '"kube-vrrp manifest --help" lists what can be given.',
    ]);
  });

  test('a good configuration that fits no pod is refused too', async () => {
    const { code, stdout, stderr } = await cli(['manifest', ...THREE_NODES, '--health-ca-file', 'ca.crt']);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(
      stderr,
      /^kube-vrrp manifest: one problem .*:\n {2}health\.caFile = "ca\.crt": expected an abs/,
    );
  });

  test('kubeadm takes a version that there is', async () => {
    const { code, stdout, stderr } = await cli(['kubeadm', '--api-version', 'v1', '--vip', '10.0.0.10']);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^kube-vrrp kubeadm: 2 problems /);
    assert.match(stderr, /^ {2}peers: missing/m);
    assert.match(stderr, /^ {2}--api-version = "v1": expected v1beta4, v1beta3 or v1beta2$/m);
  });

  test('--help has an example and the options', async () => {
    const [manifest, kubeadm] = await Promise.all([cli(['manifest', '--help']), cli(['kubeadm', '-h'])]);
    assert.deepEqual([manifest.code, kubeadm.code], [0, 0]);
    assert.match(manifest.stdout, /^ {2}kube-vrrp manifest --vip 192\.168\.100\.10 --peers /m);
    assert.match(manifest.stdout, /^ {2}--image REF +\w/m);
    assert.match(manifest.stdout, /^ {2}--name NAME +\w/m);
    assert.match(kubeadm.stdout, /^ {2}kube-vrrp kubeadm --config kube-vrrp\.yaml > kubeadm\.yaml/m);
    assert.match(kubeadm.stdout, /^ {2}--api-version VER +\w/m);
    for (const { stdout } of [manifest, kubeadm]) assert.match(stdout, /^ {2}--vrrp-vrid$/m);
  });
});
