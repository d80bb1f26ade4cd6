/** Kernels that answer SYNs with cookies: always (net.ipv4.tcp_syncookies=2), or because a flood fills their queue. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { internetChecksum } from '../../src/wire/checksum.ts';
import { monotonicMs } from '../../src/runtime/clock.ts';
import { PollingClient } from '../kit/client.ts';
import { Cluster, PROXY_PORT } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { HOST_INTERFACE, type Host } from '../kit/host.ts';
import { createLab, type Lab, VIP_IPV4 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** A client gives up after this. The longest wait is for a handover of 1.4 s and the next repetition of its data. */
const TIMEOUT_MS = 8_000;
/** For each host more than its queue holds: net.core.somaxconn, 4096, and some. */
const SYNS = 3 * 8_192;
const SYNS_PER_SECOND = 8_000;
/** TEST-NET-3 (RFC 5737): the SYN-ACKs go to the client's host, which drops them. */
const SPOOFED = '203.0.113.0/24';

async function sysctl(host: Host, setting: string): Promise<void> {
  const { exitCode, stderr } = await host.exec('sysctl', '-qw', setting);
  assert.equal(exitCode, 0, stderr);
}

/** How many SYNs the host has answered with a cookie. */
async function cookiesSent(host: Host): Promise<number> {
  const { stdout } = await host.exec('cat', '/proc/net/netstat');
  const [names = [], values = []] = stdout
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('SyncookiesSent')]);
}

async function macOf(host: Host): Promise<Buffer> {
  const { stdout } = await host.exec('cat', `/sys/class/net/${HOST_INTERFACE}/address`);
  return Buffer.from(stdout.trim().replaceAll(':', ''), 'hex');
}

/** A SYN to the VIP from an address and port that nobody has. */
function spoofedSyn(mac: Buffer): Buffer {
  const vip = VIP_IPV4.split('.').map(Number);
  const ip = Buffer.from([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 203, 0, 113, randomInt(1, 255), ...vip]);
  ip.writeUInt16BE(internetChecksum(0, ip), 10);
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(randomInt(1024, 65_536), 0);
  tcp.writeUInt16BE(PROXY_PORT, 2);
  tcp.writeUInt32BE(randomInt(2 ** 32), 4);
  tcp.set([0x50, 0x02, 0xff, 0xff], 12);
  tcp.writeUInt16BE(internetChecksum(6 + tcp.length, ip.subarray(12), tcp), 16);
  return Buffer.concat([mac, Buffer.from([2, 0, 0, 0, 0, 0x66, 8, 0]), ip, tcp]);
}

type Flood = { readonly end: () => Promise<void>; readonly describe: () => string };

/** Begins to flood the VIP with spoofed SYNs, which go to all of `targets`; ends with the returned function. */
async function floodSyns(from: Host, targets: readonly Host[]): Promise<Flood> {
  const script = join(import.meta.dirname, '../kit/flood.py');
  const running = from.spawn({
    command: ['python3', script, HOST_INTERFACE, String(SYNS_PER_SECOND), '60'],
  });
  const macs = await Promise.all(targets.map(macOf));
  for (let count = 0; count < SYNS; count += 1) {
    running.writeLine(spoofedSyn(macs[count % macs.length] ?? assert.fail()).toString('hex'));
  }
  running.writeLine('');
  return {
    describe: () => `the flood says: ${running.stderr}`,
    end: async () => {
      running.signal('SIGKILL');
      await running.exited;
    },
  };
}

describe('while every SYN is answered with a cookie', () => {
  let lab: Lab;
  let cluster: Cluster;
  let poller: PollingClient;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
    await cluster.stopClients();
    poller = new PollingClient(lab.client, cluster.url(VIP_IPV4, '/version'), cluster.caFile, {
      intervalMs: 50,
      timeoutMs: TIMEOUT_MS,
    });
    await poller.steady();
    for (const host of cluster.hosts) await sysctl(host, 'net.ipv4.tcp_syncookies=2');
  });
  after(async () => lab.remove());

  test('clients are served, and a handover costs none of them its request', async (t) => {
    const holder = await cluster.oneHolder(() => true);
    const fromMs = monotonicMs();
    await poller.steady();
    assert.ok((await cookiesSent(holder)) > 0, 'cookies are in use');
    await cluster.daemon(holder).command('drain');
    await cluster.oneHolder((host) => host !== holder);
    await poller.steady();
    const attempts = poller.attempts(fromMs);
    const failed = attempts.filter(({ ok }) => !ok);
    const longestMs = Math.max(...attempts.map(({ startMs, endMs }) => endMs - startMs));
    t.diagnostic(
      `${attempts.length} requests, ${failed.length} failed, the longest took ${longestMs.toFixed(0)} ms`,
    );
    assert.deepEqual(failed, [], cluster.describe(fromMs));
  });
});

describe('in a flood of SYNs that nobody has sent', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 2, ipv6: false });
    cluster = await Cluster.start(lab, { config: { vrrp: { advertisementInterval: '500ms' } } });
    await cluster.stopClients();
    for (const host of cluster.hosts) {
      await host.exec(
        'ip',
        'route',
        'add',
        SPOOFED,
        'via',
        lab.clients[1]?.ipv4 ?? '',
        'dev',
        HOST_INTERFACE,
      );
    }
  });
  after(async () => lab.remove());

  test('clients are served, and a handover costs none of them its request', async (t) => {
    const holder = await cluster.oneHolder(() => true);
    const poller = new PollingClient(lab.client, cluster.url(VIP_IPV4, '/version'), cluster.caFile, {
      intervalMs: 50,
      timeoutMs: TIMEOUT_MS,
    });
    await poller.steady();
    const flood = await floodSyns(lab.clients[1] ?? assert.fail(), cluster.hosts);
    try {
      await eventually(async () => (await cookiesSent(holder)) > 0, {
        what: 'the queue of SYNs to be full',
        otherwise: () => `${flood.describe()}\n${cluster.describe()}`,
      });
      const fromMs = monotonicMs();
      await poller.steady();
      await cluster.daemon(holder).command('drain');
      const successor = await cluster.oneHolder((host) => host !== holder);
      await poller.steady();
      t.diagnostic(`${await cookiesSent(holder)} and ${await cookiesSent(successor)} cookies were sent`);
      const attempts = poller.attempts(fromMs);
      const longestMs = Math.max(...attempts.map(({ startMs, endMs }) => endMs - startMs));
      t.diagnostic(`${attempts.length} requests, the longest took ${longestMs.toFixed(0)} ms`);
      assert.deepEqual(
        attempts.filter(({ ok }) => !ok),
        [],
        cluster.describe(fromMs),
      );
    } finally {
      await flood.end();
    }
  });
});
