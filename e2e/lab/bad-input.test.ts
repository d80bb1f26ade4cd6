/** What a user gets wrong: one clear sentence, a non-zero exit, never a stack trace. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Cluster, PROXY_PORT, type ConfigChanges } from './cluster.ts';
import { Daemon, type StartOptions } from './daemon.ts';
import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import { createLab, VIP_IPV4, type Lab } from './lab.ts';
import { enterLab } from './privileges.ts';

await enterLab();

type Mistake = {
  readonly what: string;
  readonly config?: ConfigChanges;
  readonly options?: StartOptions;
  /** All of these must be in the sentence: what is wrong, and where. */
  readonly names: readonly RegExp[];
  readonly exitCode: 1 | 2;
};

const MISTAKES: readonly Mistake[] = [
  {
    what: 'a CA file that is not there',
    config: { health: { caFile: '/nonexistent/ca.crt' } },
    names: [/\/nonexistent\/ca\.crt/],
    exitCode: 1,
  },
  {
    what: 'a CA file that holds no certificate',
    config: { health: { caFile: '/etc/hostname' } },
    names: [/\/etc\/hostname/],
    exitCode: 1,
  },
  {
    what: 'a VIP outside every subnet of this host',
    config: { vip: '10.77.0.1' },
    names: [/10\.77\.0\.1/, /subnet/i],
    exitCode: 1,
  },
  {
    what: 'peers without this host',
    config: { peers: ['192.168.100.2', '192.168.100.3'] },
    names: [/peers/],
    exitCode: 1,
  },
  {
    what: 'no NET_RAW',
    options: { withoutCapabilities: ['net_raw'] },
    names: [/NET_RAW/],
    exitCode: 1,
  },
  {
    what: 'no NET_ADMIN',
    options: { withoutCapabilities: ['net_admin'] },
    names: [/NET_ADMIN/],
    exitCode: 1,
  },
];

/** A file and line of code, or the frame of a stack. */
const STACK = /^\s+at .+:\d+|\.ts:\d+|node:internal/m;

describe('mistakes', () => {
  let lab: Lab;
  let cluster: Cluster;
  let host: Host;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 0, ipv6: false });
    cluster = await Cluster.prepare(lab);
    [host] = lab.hosts as [Host];
  });
  after(async () => lab.remove());

  function start(changes: ConfigChanges = {}, options: StartOptions = {}): Daemon {
    return new Daemon(host, lab.folder, cluster.changedConfigOf(host, changes), options);
  }

  /** What it said to people: lines on standard error, and log entries of level error or above. */
  function sentences(daemon: Daemon): string[] {
    const errors = daemon.log().filter(({ level }) => level === 'error' || level === 'fatal');
    return [...errors.map(({ msg }) => msg), ...daemon.complaints.split('\n').filter(Boolean)];
  }

  async function assertOneSentence(
    daemon: Daemon,
    { names, exitCode }: Omit<Mistake, 'what'>,
  ): Promise<void> {
    const exit = await daemon.ended();
    const said = sentences(daemon);
    assert.equal(exit.code, exitCode, daemon.describe());
    assert.equal(said.length, 1, `${said.length} sentences instead of one\n${daemon.describe()}`);
    for (const name of names) assert.match(said[0] ?? '', name);
    assert.doesNotMatch(said[0] ?? '', STACK);
    assert.deepEqual(lab.holders(VIP_IPV4), []);
  }

  for (const { what, config, options, ...expected } of MISTAKES) {
    test(`${what}: one sentence and exit ${expected.exitCode}`, async (t) => {
      const daemon = start(config, options);
      await assertOneSentence(daemon, expected);
      t.diagnostic(sentences(daemon)[0] ?? '');
    });
  }

  test('a taken port: one sentence and exit 1, and no part in the election', async (t) => {
    let isListening = false;
    const squatter = host.spawn({
      command: [
        process.execPath,
        '-e',
        `require('net').createServer().listen(${PROXY_PORT}, () => console.log('ready'))`,
      ],
      onLine: () => (isListening = true),
    });
    await eventually(() => isListening, { what: 'the port to be taken' });
    const daemon = start();
    await assertOneSentence(daemon, { names: [new RegExp(String(PROXY_PORT))], exitCode: 1 });
    assert.ok(!daemon.transitions().some(({ fields }) => fields['to'] === 'Active'));
    t.diagnostic(sentences(daemon)[0] ?? '');
    await squatter.kill();
  });

  test('everything wrong in the configuration is reported at once, each with its path and value, exit 2', async () => {
    const daemon = start({
      vip: '192.168.100.300',
      vrrp: { vrid: 0, preempt: 'sometimes', advertisementInterval: '5ms' },
      proxy: { port: 'many' },
      helth: { path: '/' },
    });
    assert.equal((await daemon.ended()).code, 2);
    const text = daemon.complaints;
    const paths = ['vip', 'vrrp.vrid', 'vrrp.preempt', 'vrrp.advertisementInterval', 'proxy.port', 'helth'];
    for (const path of paths) assert.ok(text.includes(path), `${path} is not in\n${text}`);
    for (const value of ['192.168.100.300', 'sometimes', '5ms', 'many'])
      assert.ok(text.includes(value), text);
    assert.doesNotMatch(text, STACK);
  });

  test('a configuration that is no YAML, or not there: a sentence and exit 2', async () => {
    const broken = join(lab.folder, 'broken.yaml');
    writeFileSync(broken, 'vip: [192.168.100.10\npeers: }{\n');
    for (const file of [broken, join(lab.folder, 'nonexistent.yaml')]) {
      const { exitCode, stdout, stderr } = await cluster.runCommand(host, 'run', file);
      assert.equal(exitCode, 2, stdout + stderr);
      assert.ok((stdout + stderr).includes(file), stdout + stderr);
      assert.doesNotMatch(stdout + stderr, STACK);
    }
  });

  test('an unknown command or flag: exit 2', async () => {
    const file = join(lab.folder, 'host-1.yaml');
    for (const words of ['runn', 'run --vrid 7']) {
      const { exitCode, stdout, stderr } = await cluster.runCommand(host, words, file);
      assert.equal(exitCode, 2, stdout + stderr);
      assert.doesNotMatch(stdout + stderr, STACK);
    }
  });
});
