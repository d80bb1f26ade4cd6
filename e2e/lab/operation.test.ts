/** What an operator sees: endpoints, commands, and what one daemon costs. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { Cluster } from '../kit/cluster.ts';
import { COST_TARGET, formatCost, measureCost } from '../kit/cost.ts';
import { eventually } from '../kit/eventually.ts';
import { assertVipStayed } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/**
 * What a machine's speed has no part in: twice as many wakeups as advertisements, probes and timers bring, and a share
 * of the processor that only a loop without a rest takes. The demo shows the cost beside its targets.
 */
const WAKEUPS_PER_SECOND_LIMIT = 150;
const CPU_LIMIT_PERCENT = 20;
const MEMORY_LIMIT_MIB = 150;

describe('operation', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 4, clients: 1, ipv6: false });
    cluster = await Cluster.prepare(lab, { hosts: lab.hosts.slice(0, 3) });
  });
  after(async () => lab.remove());

  test('check passes on a node that is ready for the first start', async () => {
    const [host] = cluster.hosts as [Host];
    const { exitCode, stdout, stderr } = await cluster.runCommand(host, 'check');
    assert.equal(exitCode, 0, stdout + stderr);
    assert.match(stdout, /192\.168\.100\.10/);
  });

  test('SIGTERM at any moment of the start ends it at once, with code 0 and without a word', async (t) => {
    const [host] = cluster.hosts as [Host];
    for (let afterMs = 100; afterMs <= 1500; afterMs += 100) {
      const daemon = cluster.startDaemon(host);
      await sleep(afterMs);
      const signaledAtMs = monotonicMs();
      daemon.signal('SIGTERM');
      const { code, signal } = await daemon.ended();
      const outcome = `${afterMs} ms after the start: ${code ?? signal} after ${Math.round(monotonicMs() - signaledAtMs)} ms`;
      t.diagnostic(outcome);
      // Before Node has come to the program it ends in its own way.
      assert.ok(code === 0 || signal === 'SIGTERM', `${outcome}\n${daemon.describe()}`);
      assert.equal(daemon.complaints, '', outcome);
    }
  });

  test('check fails when somebody else answers for the VIP, and says who', async () => {
    const [host] = cluster.hosts as [Host];
    const stranger = lab.hosts[3]!;
    await stranger.ip(`addr add ${VIP_IPV4}/32 dev eth0`);
    const mac = (await stranger.exec('cat', '/sys/class/net/eth0/address')).stdout.trim();
    const { exitCode, stdout, stderr } = await cluster.runCommand(host, 'check');
    await stranger.ip(`addr del ${VIP_IPV4}/32 dev eth0`);
    assert.equal(exitCode, 1, stdout + stderr);
    assert.ok((stdout + stderr).includes(mac), stdout + stderr);
  });
});

describe('operation of a running cluster', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  after(async () => lab.remove());

  /** Waits until a Backup says who is Active: what it tells may be a second old. */
  async function knowsActive(backup: Host, holder: Host): Promise<void> {
    await eventually(
      async () => (await cluster.daemon(backup).status()).virtualRouters[0]?.active?.address === holder.ipv4,
      { what: `${backup.name} to name ${holder.ipv4} as the Active`, deadlineMs: 5000 },
    );
  }

  test('admin endpoints: alive, ready, status and metrics tell the same story on every node', async () => {
    const holder = await cluster.settled();
    for (const host of cluster.hosts) {
      const daemon = cluster.daemon(host);
      assert.equal((await host.get('/livez')).status, 200);
      assert.equal((await host.get('/readyz')).status, 200);
      assert.equal((await host.get('/nonsense')).status, 404);

      const status = await daemon.status();
      const [router] = status.virtualRouters;
      const isHolder = host === holder;
      assert.equal(status.pid, daemon.pid);
      assert.equal(status.interface, 'eth0');
      assert.equal(status.class, 'A');
      assert.equal(status.drained, false);
      assert.equal(status.virtualRouters.length, 1);
      assert.equal(router?.vip, VIP_IPV4);
      assert.equal(router.state, isHolder ? 'Active' : 'Backup');
      assert.equal(router.bound, isHolder);
      if (!isHolder) await knowsActive(host, holder);
      assert.equal(status.backends.length, 3);
      assert.deepEqual(
        status.backends.filter(({ local }) => local).map(({ id }) => id),
        [`${host.ipv4}:6443`],
      );

      const text = (await host.get('/metrics')).body;
      for (const subject of [
        'state',
        'transitions',
        'packets',
        'lease',
        'backend',
        'connections',
        'event_loop_delay',
      ]) {
        assert.match(
          text,
          new RegExp(`^kube_vrrp_\\w*${subject}\\w*(\\{| )`, 'm'),
          `no metric about ${subject}`,
        );
      }
      const metrics = await daemon.metrics();
      const threads = metrics
        .filter(({ name }) => /event_loop_delay/.test(name))
        .map(({ labels }) => labels['thread']);
      assert.ok(new Set(threads).size >= 3, `event-loop delay of threads ${threads.join()}`);
      const causes = metrics.filter(
        ({ name, labels }) => /transitions/.test(name) && labels['cause'] !== undefined,
      );
      assert.ok(causes.some(({ value }) => value > 0));
    }
  });

  test('the lease is renewed, and the counter of renewals tells so', async () => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const renewals = async (): Promise<number> => {
      const metrics = await cluster.daemon(holder).metrics();
      return metrics.find(({ name }) => /lease_renewals/.test(name))?.value ?? Number.NaN;
    };
    const earlier = await renewals();
    await eventually(async () => (await renewals()) >= earlier + 3, {
      what: 'three renewals',
      deadlineMs: 10_000,
    });
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('status prints who holds the VIP, for people and for scripts', async () => {
    const holder = await cluster.settled();
    const [backup] = cluster.others(holder) as [Host];
    const forPeople = await cluster.daemon(backup).command('status');
    assert.equal(forPeople.exitCode, 0, forPeople.stderr);
    assert.match(forPeople.stdout, /Backup/);
    assert.ok(forPeople.stdout.includes(holder.ipv4), forPeople.stdout);
    const forScripts = await cluster.daemon(holder).command('status', '--json');
    assert.equal(forScripts.exitCode, 0, forScripts.stderr);
    const { virtualRouters } = JSON.parse(forScripts.stdout) as { virtualRouters: { state: string }[] };
    assert.equal(virtualRouters[0]?.state, 'Active');
  });

  test('HUP, USR1 and USR2 are answered by the holder, and move nothing', async () => {
    const holder = await cluster.settled();
    const daemon = cluster.daemon(holder);
    const fromMs = monotonicMs();
    for (const [signal, answer] of [
      ['SIGHUP', 'reload'],
      ['SIGUSR1', 'state'],
      ['SIGUSR2', 'signal'],
    ] as const) {
      daemon.signal(signal);
      const { msg } = await daemon.logged(signal, ({ event }) => event === answer, { fromMs });
      if (signal === 'SIGHUP') assert.match(msg, /the certificates have not changed$/u);
      if (signal === 'SIGUSR1') assert.match(msg, /^state: 192\.168\.100\.10 Active, .*, bound;/u);
    }
    assert.deepEqual(cluster.daemon(holder).transitions(fromMs), [], cluster.describe(fromMs));
    assert.equal(cluster.holder(), holder);
  });

  test('a transition is one log line with its cause', async () => {
    const holder = await cluster.settled();
    const lines = cluster.daemon(holder).transitions();
    for (const { msg, fields } of lines) {
      assert.equal(msg.startsWith(`${String(fields['from'])} -> ${String(fields['to'])}: `), true, msg);
      for (const key of ['cause', 'vrid', 'family', 'vip'])
        assert.ok(key in fields, `${key} is not in ${msg}`);
    }
    assert.deepEqual(cluster.daemon(holder).complaints, '', 'something was said outside the log');
  });

  test('check passes on the holder and on a Backup of a running cluster', async () => {
    const holder = await cluster.settled();
    const [backup] = cluster.others(holder) as [Host];
    const fromMs = monotonicMs();
    const results = await Promise.all([holder, backup].map((host) => cluster.runCommand(host, 'check')));
    for (const { exitCode, stdout, stderr } of results) assert.equal(exitCode, 0, stdout + stderr);
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('a steady daemon costs little', async (t) => {
    const holder = await cluster.settled();
    const [backup] = cluster.others(holder) as [Host];
    // Nobody is served: that would be measured with it.
    await cluster.stopClients();
    const roles = [
      ['holder', holder],
      ['Backup', backup],
    ] as const;
    await Promise.all(
      roles.map(async ([role, host]) => {
        const cost = await measureCost(cluster.daemon(host).pid);
        const told = `${role}: ${formatCost(cost).join(', ')}; targets ${formatCost(COST_TARGET).join(', ')}; ${cost.wakeupsPerSecond.toFixed(0)} wakeups per second`;
        t.diagnostic(told);
        assert.ok(cost.wakeupsPerSecond <= WAKEUPS_PER_SECOND_LIMIT, told);
        assert.ok(cost.cpuPercent <= CPU_LIMIT_PERCENT, told);
        assert.ok(cost.residentMib <= MEMORY_LIMIT_MIB, told);
      }),
    );
  });
});
