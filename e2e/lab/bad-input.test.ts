/**
 * What a user gets wrong: one clear sentence, never a stack trace; and no restart when what was wrong is right again.
 */
import assert from 'node:assert/strict';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Cluster, PROXY_PORT, type ConfigChanges } from '../kit/cluster.ts';
import { Daemon, type StartOptions } from '../kit/daemon.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import type { LabProcess } from '../kit/lab-process.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

type Obstacle = {
  readonly what: string;
  readonly config?: ConfigChanges;
  /** All of these must be in the sentence: what is wrong, and where. */
  readonly names: readonly RegExp[];
  /** Brings the obstacle about, where the configuration alone does not. */
  readonly place?: (host: Host, lab: Lab) => Promise<void>;
  readonly remove: (host: Host, lab: Lab) => Promise<void>;
};

/** Of the lab's own CA, whose place a wrong file takes. */
const CA_COPY = 'late-ca.crt';

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

  function obstacles(): Obstacle[] {
    const lateCa = join(lab.folder, CA_COPY);
    let squatter: LabProcess | null = null;
    return [
      {
        what: 'a CA file that is not there yet',
        config: { health: { caFile: lateCa } },
        names: [/late-ca\.crt does not exist/],
        remove: async () => copyFileSync(cluster.caFile, lateCa),
      },
      {
        what: 'a CA file that holds no certificate',
        config: { health: { caFile: lateCa } },
        names: [/late-ca\.crt/, /PEM/],
        place: async () => writeFileSync(lateCa, 'nothing\n'),
        remove: async () => copyFileSync(cluster.caFile, lateCa),
      },
      {
        what: 'a configured interface that is not there',
        config: { interface: 'net1' },
        names: [/interface net1 does not exist/, /eth0/],
        remove: () => rename('eth0', 'net1'),
      },
      {
        what: 'a VIP outside every subnet of this host',
        config: { vip: '10.77.0.1' },
        names: [/10\.77\.0\.1/, /subnet/i],
        remove: () => host.ip('addr add 10.77.0.2/24 dev eth0'),
      },
      {
        what: 'peers without this host',
        config: { peers: ['192.168.100.2', '192.168.100.33'] },
        names: [/peers/],
        remove: () => host.ip('addr add 192.168.100.33/24 dev eth0'),
      },
      {
        what: 'a port that another program has',
        names: [new RegExp(String(PROXY_PORT))],
        place: async () => {
          let isListening = false;
          const script = `require('net').createServer().listen(${PROXY_PORT}, () => console.log('ready'))`;
          squatter = host.spawn({
            command: [process.execPath, '-e', script],
            onLine: () => (isListening = true),
          });
          await eventually(() => isListening, { what: 'the port to be taken' });
        },
        remove: async () => squatter?.kill(),
      },
    ];
  }

  /** As when a card gets another name at the next boot. */
  async function rename(from: string, to: string): Promise<void> {
    await host.ip(`link set ${from} down`, `link set ${from} name ${to}`, `link set ${to} up`);
  }

  async function restore(): Promise<void> {
    rmSync(join(lab.folder, CA_COPY), { force: true });
    const { stdout } = await host.exec('ip', '-j', 'link');
    if (stdout.includes('"net1"')) await rename('net1', 'eth0');
    await host.exec('ip', 'addr', 'del', '10.77.0.2/24', 'dev', 'eth0');
    await host.exec('ip', 'addr', 'del', '192.168.100.33/24', 'dev', 'eth0');
  }

  test('what may yet come is told in one sentence and waited for, and nobody has to restart anything', async (t) => {
    for (const { what, config, names, place, remove } of obstacles()) {
      await t.test(what, async (step) => {
        await place?.(host, lab);
        const daemon = start(config);
        await eventually(() => sentences(daemon).length > 0, {
          what: 'a sentence',
          otherwise: () => daemon.describe(),
        });
        const [said = ''] = sentences(daemon);
        for (const name of names) assert.match(said, name);
        assert.doesNotMatch(said, STACK);
        const { status, body } = await host.get('/readyz');
        assert.equal(status, 503);
        assert.ok(
          said.includes(body.trim().split('\n').at(-1) ?? ' '),
          `${body} is not what the log says: ${said}`,
        );
        assert.deepEqual(daemon.transitions(), []);
        await remove(host, lab);
        await daemon.ready();
        assert.deepEqual(sentences(daemon), [said]);
        step.diagnostic(said);
        await daemon.kill();
        await restore();
      });
    }
  });

  test('a daemon that waits ends when it is told to', async () => {
    const daemon = start({ vip: '10.77.0.1' });
    await daemon.logged('that it waits', ({ event }) => event === 'waiting');
    daemon.signal('SIGTERM');
    assert.equal((await daemon.ended()).code, 0);
  });

  // kubelet 1.20 starts the pod of a changed manifest while the old one still hands over.
  test('beside another kube-vrrp it waits, leaves the VIP alone, and takes part when the other has ended', async () => {
    const first = start();
    await eventually(() => lab.holders(VIP_IPV4).includes(host), { what: 'the first to hold the VIP' });
    const unwanted = start();
    const { msg } = await unwanted.logged('that it waits', ({ event }) => event === 'waiting');
    assert.match(msg, /admin endpoint.*10480/);
    unwanted.signal('SIGTERM');
    assert.equal((await unwanted.ended()).code, 0);
    const successor = start();
    await successor.logged('that it waits', ({ event }) => event === 'waiting');
    assert.deepEqual(
      first.log().filter(({ event }) => event === 'address_lost'),
      [],
      first.describe(),
    );
    assert.equal(first.transitions().at(-1)?.fields['to'], 'Active');
    first.signal('SIGTERM');
    assert.equal((await first.ended()).code, 0);
    await successor.ready();
    await eventually(() => lab.holders(VIP_IPV4).includes(host), {
      what: 'the successor to hold the VIP',
    });
    successor.signal('SIGTERM');
    assert.equal((await successor.ended()).code, 0);
  });

  for (const capability of ['NET_RAW', 'NET_ADMIN']) {
    test(`no ${capability}: one sentence and exit 1, as no waiting brings it`, async () => {
      const daemon = start({}, { withoutCapabilities: [capability.toLowerCase()] });
      assert.equal((await daemon.ended()).code, 1);
      const said = sentences(daemon);
      assert.equal(said.length, 1, daemon.describe());
      assert.ok(said[0]?.includes(capability));
      assert.doesNotMatch(said[0] ?? '', STACK);
      await lab.lookAgain();
      assert.deepEqual(lab.holders(VIP_IPV4), []);
    });
  }

  test('no SYS_NICE, which is optional: it holds the VIP, and one sentence says what may be the worse for it', async () => {
    const daemon = start({}, { withoutCapabilities: ['sys_nice'] });
    await daemon.ready();
    await eventually(() => lab.holders(VIP_IPV4).includes(host), { what: 'it to hold the VIP' });
    const warnings = daemon.log().filter(({ msg }) => msg.includes('CAP_SYS_NICE is missing'));
    assert.deepEqual(
      warnings.map(({ level }) => level),
      ['warn'],
      daemon.describe(),
    );
    assert.deepEqual(sentences(daemon), []);
    daemon.signal('SIGTERM');
    assert.equal((await daemon.ended()).code, 0);
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
