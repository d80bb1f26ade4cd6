/** The lab itself: what scenarios build on must hold, and nothing may be left behind. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, after, before, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from '../kit/eventually.ts';
import { HOST_INTERFACE, type Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, VIP_IPV6, type Lab } from '../kit/lab.ts';
import { LabProcess } from '../kit/lab-process.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

async function reaches(from: Host, address: string): Promise<boolean> {
  const script = `
    require('node:dgram').createSocket(${JSON.stringify(address.includes(':') ? 'udp6' : 'udp4')})
      .on('error', () => process.exit(1))
      .connect(9, ${JSON.stringify(address)}, function (error) {
        if (error) process.exit(1);
        // Nobody listens: the other host's kernel says so, when it is reached.
        this.send('?');
        // What has come while this process had no time is read first.
        setTimeout(() => setImmediate(() => process.exit(2)), 300);
      })`;
  return (await from.exec(process.execPath, '-e', script)).exitCode === 1;
}

async function hasCarrier(host: Host): Promise<boolean> {
  const { stdout } = await host.exec('cat', `/sys/class/net/${HOST_INTERFACE}/carrier`);
  return stdout.trim() === '1';
}

describe('a lab', () => {
  let lab: Lab;
  before(async () => (lab = await createLab({ hosts: 2, clients: 1, ipv6: true })));
  after(async () => lab.remove());

  test('hosts and client reach each other by IPv4 and IPv6', async () => {
    const [one, two] = lab.hosts as [Host, Host];
    assert.ok(await reaches(one, two.ipv4));
    assert.ok(await reaches(lab.client, two.ipv6 ?? ''));
    assert.ok(!(await reaches(one, VIP_IPV4)), 'nobody has the VIP');
  });

  test('a cut link takes the carrier of that host alone, and comes back', async () => {
    const [one, two] = lab.hosts as [Host, Host];
    await one.linkDown();
    await eventually(async () => !(await hasCarrier(one)), { what: 'the carrier to go' });
    assert.ok(await hasCarrier(two));
    await one.linkUp();
    await eventually(() => reaches(one, two.ipv4), { what: 'the link to come back' });
  });

  test('a partition separates groups with all carriers up, and heals', async () => {
    const [one, two] = lab.hosts as [Host, Host];
    await lab.partition([one], [two, lab.client]);
    assert.ok(await hasCarrier(one));
    assert.ok(!(await reaches(one, two.ipv4)));
    assert.ok(await reaches(lab.client, two.ipv4));
    await lab.heal();
    await eventually(() => reaches(one, two.ipv4), { what: 'the partition to heal' });
  });

  test('the interface can go and come back with its addresses', async () => {
    const [one, two] = lab.hosts as [Host, Host];
    await one.removeInterface();
    assert.equal((await one.exec('ip', 'link', 'show', HOST_INTERFACE)).exitCode, 1);
    await one.createInterface();
    assert.ok((await one.kernelAddresses()).some(({ local }) => local === one.ipv4));
    await eventually(() => reaches(one, two.ipv4), { what: 'the interface to work' });
  });

  test('the timeline shows who has a VIP, and two at once', async () => {
    const [one, two] = lab.hosts as [Host, Host];
    const fromMs = monotonicMs();
    await one.ip(`addr add ${VIP_IPV4}/32 dev eth0`, `addr add ${VIP_IPV6}/128 dev eth0 nodad`);
    await eventually(() => lab.holders(VIP_IPV4).length === 1, { what: 'one holder' });
    await eventually(() => lab.holders(VIP_IPV6).length === 1, { what: 'one IPv6 holder' });
    await two.ip(`addr add ${VIP_IPV4}/32 dev eth0`);
    await eventually(() => lab.holders(VIP_IPV4).length === 2, { what: 'two holders' });
    await one.ip(`addr del ${VIP_IPV4}/32 dev eth0`, `addr del ${VIP_IPV6}/128 dev eth0`);
    await eventually(() => lab.timeline.holders(VIP_IPV4).join() === two.name, {
      what: 'the second holder alone',
    });
    assert.ok(lab.timeline.longestOverlapMs(VIP_IPV4, fromMs) > 0);
    assert.equal(lab.timeline.longestOverlapMs(VIP_IPV6, fromMs), 0);
    await two.ip(`addr del ${VIP_IPV4}/32 dev eth0`);
    await eventually(() => lab.holders(VIP_IPV4).length === 0, { what: 'no holder' });
  });

  test('signals hit the process itself', async () => {
    const [one] = lab.hosts as [Host];
    const sleeper = one.spawn({ command: ['sleep', '60'] });
    await eventually(() => readlinkSync(`/proc/${sleeper.pid}/exe`).endsWith('/sleep'), {
      what: 'sleep to run',
    });
    sleeper.signal('SIGKILL');
    assert.equal((await sleeper.exited).signal, 'SIGKILL');
  });
});

/** Starts a program that makes a lab with a process in it, prints the lab's folder and waits. */
async function startOwner(t: TestContext): Promise<{ owner: LabProcess; folder: string; pid: number }> {
  const script = `
    import { createLab } from ${JSON.stringify(join(import.meta.dirname, '../kit/lab.ts'))};
    const lab = await createLab({ hosts: 1, clients: 0, ipv6: false });
    const sleeper = lab.hosts[0].spawn({ command: ['sleep', '600'] });
    console.log(JSON.stringify({ folder: lab.folder, pid: sleeper.pid }));
    setInterval(() => {}, 1000);`;
  let line = '';
  const owner = new LabProcess({
    namespace: null,
    command: [process.execPath, '--input-type=module', '-e', script],
    onLine: (text) => (line = text),
  });
  // A failed test must leave nobody behind: the runner would wait for them.
  t.after(async () => {
    owner.signal('SIGTERM');
    await owner.exited;
  });
  await eventually(() => line !== '', { what: 'the lab of another process', otherwise: () => owner.stderr });
  return { owner, ...(JSON.parse(line) as { folder: string; pid: number }) };
}

function namespacesOf(folder: string): string[] {
  const lab = folder.replace(/^.*\//, '').replace(/files$/, '');
  return readdirSync('/run/netns').filter((name) => name.startsWith(lab));
}

describe('the end of a lab', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`${signal} to its owner removes all of it`, async (t) => {
      const { owner, folder, pid } = await startOwner(t);
      assert.equal(namespacesOf(folder).length, 2);
      owner.signal(signal);
      assert.equal((await owner.exited).code, signal === 'SIGINT' ? 130 : 143);
      assert.deepEqual(namespacesOf(folder), []);
      assert.ok(!existsSync(folder));
      await eventually(() => !existsSync(`/proc/${pid}`), { what: 'its processes to end' });
    });
  }

  test('what a killed owner leaves is removed by the next lab, and a living one is left alone', async (t) => {
    const killed = await startOwner(t);
    const living = await startOwner(t);
    await killed.owner.kill();
    await eventually(() => !existsSync(`/proc/${killed.pid}`), { what: 'its processes to end' });

    const next = await createLab({ hosts: 1, clients: 0, ipv6: false });
    assert.deepEqual(namespacesOf(killed.folder), []);
    assert.ok(!existsSync(killed.folder));
    assert.equal(namespacesOf(living.folder).length, 2);
    await next.remove();
    assert.deepEqual(namespacesOf(next.folder), []);
  });
});
