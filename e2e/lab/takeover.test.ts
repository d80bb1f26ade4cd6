/** Clients that only read notice the loss of their holder at once, because the new one resets their connections. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';

import { ask } from '../../src/cli/daemon-client.ts';
import { parseSocketAddress } from '../../src/ip/address.ts';
import { monotonicMs } from '../../src/runtime/clock.ts';
import { YOUNG_MS } from '../../src/proxy/lingering.ts';
import type { OpenedConnection } from '../../src/proxy/connections.ts';
import { Cluster, PROXY_PORT } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import { createLab, type Lab, VIP_IPV4, VIP_IPV6 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';
import { describeDelays, Readers } from '../kit/readers.ts';

await enterLab();

const READERS = 1000;
/** The target is 1 s; an HTTP/2 ping, the clients' own way to find out, takes 30 s and more. */
const NOTICED_MS = 5000;
/** Younger ones may be waiting for their first answer. */
const GROWN_UP_MS = YOUNG_MS + 100;

/** The word of an end may be lost, as when a link has just come up: three sweeps, of 10 s each, make it good. */
const SWEPT_MS = 40_000;

async function eachKnows(cluster: Cluster, hosts: readonly Host[], count: number): Promise<void> {
  let known: number[] = [];
  await eventually(
    async () => {
      known = await Promise.all(
        hosts.map((host) => cluster.daemon(host).metric('kube_vrrp_takeover_known_clients')),
      );
      return known.every((clients) => clients === count);
    },
    {
      what: `the Backups to know exactly ${count} clients`,
      deadlineMs: SWEPT_MS,
      otherwise: () => `they know ${known.join(' and ')}\n${cluster.describe()}`,
    },
  );
}

async function nft(host: Host, ...rules: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await host.exec('nft', rules.join('; '));
  assert.equal(exitCode, 0, stderr);
}

async function dropsUdp(host: Host): Promise<void> {
  await nft(
    host,
    'add table inet lab',
    'add chain inet lab in { type filter hook input priority 0; }',
    `add rule inet lab in udp dport ${PROXY_PORT} drop`,
  );
}

/** The strictest way: with tcp_loose, its default, conntrack takes the prompt for a connection of its own finding. */
async function dropsInvalid(host: Host): Promise<void> {
  await nft(
    host,
    'add table inet lab',
    'add chain inet lab in { type filter hook input priority 0; }',
    'add rule inet lab in ct state invalid counter drop',
  );
  const { exitCode, stderr } = await host.exec('sysctl', '-w', 'net.netfilter.nf_conntrack_tcp_loose=0');
  assert.equal(exitCode, 0, stderr);
}

type Datagram = { readonly from: string; readonly sourcePort: number; readonly ttl: number };

/** Sends one datagram of one octet to the port where peers listen. */
async function sendUdp(host: Host, to: string, { from, sourcePort, ttl }: Datagram): Promise<void> {
  // A raw socket, as the daemon has the port. The kernel wants a checksum with IPv6 alone.
  const script = `
import socket, struct
is_ipv6 = ':' in '${to}'
raw = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
if is_ipv6:
    raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 6)
    raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ${ttl})
else:
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ${ttl})
raw.bind(('${from}', 0))
raw.sendto(struct.pack('!HHHH', ${sourcePort}, ${PROXY_PORT}, 9, 0) + b'x', ('${to}', 0))
`;
  const { exitCode, stderr } = await host.exec('python3', '-c', script);
  assert.equal(exitCode, 0, stderr);
}

for (const vip of [VIP_IPV4, VIP_IPV6]) {
  describe(`clients of ${vip} that only read`, () => {
    let lab: Lab;
    let cluster: Cluster;
    let readers: Readers | null = null;

    before(async () => {
      lab = await createLab({ hosts: 3, clients: 1, ipv6: vip === VIP_IPV6 });
      cluster = await Cluster.start(lab, { vips: [vip] });
    });
    beforeEach(async () => cluster.repair());
    afterEach(async () => {
      await readers?.stop();
      for (const host of cluster.hosts) await host.exec('nft', 'flush', 'ruleset');
    });
    after(async () => lab.remove());

    const startReaders = async (count: number): Promise<Readers> => {
      await cluster.stopClients(); // the poller's connections come and go
      const started = new Readers(lab.client, { host: vip, port: PROXY_PORT, count });
      readers = started;
      await started.allConnected();
      return started;
    };

    test("a planned handover: clients on the successor's own host come back at once, too", async (t) => {
      const holder = await cluster.settled();
      await cluster.stopClients();
      const [successor, third] = cluster.others(holder) as [Host, Host];
      // Two that miss a holder take milliseconds apart; one that is drained takes nothing.
      assert.equal((await cluster.daemon(third).command('drain')).exitCode, 0);
      const clients = new Readers(successor, { host: vip, port: PROXY_PORT, count: 20 });
      readers = clients;
      await clients.allConnected();
      await eachKnows(cluster, cluster.others(holder), 20);
      const fromMs = monotonicMs();
      cluster.daemon(holder).signal('SIGTERM');
      assert.equal(await cluster.oneHolder((host) => host !== holder, { vip }), successor);
      await clients.haveNoticed(fromMs, 20, () => cluster.describe(fromMs));
      await clients.allConnected();
      t.diagnostic(`connected again after SIGTERM: ${describeDelays(clients.delays(fromMs).resumed)}`);
      await cluster.daemon(holder).ended();
      assert.equal((await cluster.daemon(third).command('undrain')).exitCode, 0);
    });

    test("those on the holder's own host notice when its interface is removed", async (t) => {
      const holder = await cluster.settled();
      await cluster.stopClients();
      const clients = new Readers(holder, { host: vip, port: PROXY_PORT, count: 20 });
      readers = clients;
      await clients.allConnected();
      const fromMs = monotonicMs();
      await holder.removeInterface();
      await clients.haveNoticed(fromMs, 20, () => cluster.describe(fromMs));
      const { ended, reasons } = clients.delays(fromMs);
      t.diagnostic(`noticed: ${describeDelays(ended)}, ${JSON.stringify(reasons)}`);
      assert.ok((ended.at(-1) ?? Infinity) <= NOTICED_MS, cluster.describe(fromMs));
      await holder.createInterface();
      await clients.allConnected();
    });

    test(`${READERS} of them are reset and come back soon after the holder's link is cut`, async (t) => {
      const holder = await cluster.settled();
      const clients = await startReaders(READERS);
      await eachKnows(cluster, cluster.others(holder), READERS);
      const fromMs = monotonicMs();
      await holder.linkDown();
      const successor = await cluster.oneHolder((host) => host !== holder, { vip });
      await clients.haveNoticed(fromMs, READERS, () => cluster.describe(fromMs));
      await clients.allConnected();
      const { ended, resumed, reasons } = clients.delays(fromMs);
      t.diagnostic(`reset after the cut: ${describeDelays(ended)} ${JSON.stringify(reasons)}`);
      t.diagnostic(`connected again after the cut: ${describeDelays(resumed)}; target 1000 ms`);
      assert.ok((ended.at(-1) ?? Infinity) <= NOTICED_MS, cluster.describe(fromMs));
      await cluster
        .daemon(successor)
        .logged('that the takeover is over', ({ event }) => event === 'takeover', { fromMs });

      // Nobody who is served here was prompted afterwards, let alone reset.
      const quietFromMs = monotonicMs();
      await holder.linkUp();
      await cluster.settled();
      assert.equal(clients.delays(quietFromMs).ended.length, 0, cluster.describe(quietFromMs));
      assert.equal(await cluster.daemon(holder).metric('kube_vrrp_takeover_shared_clients'), 0);
    });

    test('a holder that cannot tell its peers: its clients are late, nobody else is hurt', async () => {
      const holder = await cluster.settled();
      // The word among peers is UDP; the service's TCP passes.
      for (const host of cluster.hosts) await dropsUdp(host);
      const clients = await startReaders(3);
      const fromMs = monotonicMs();
      await holder.linkDown();
      await cluster.oneHolder((host) => host !== holder, { vip });
      await cluster.client(vip).steady();
      assert.equal(clients.delays(fromMs).ended.length, 0, 'who could have told the new holder?');
    });

    test('a new holder whose packet filter drops what conntrack calls invalid', async (t) => {
      const holder = await cluster.settled();
      for (const host of cluster.hosts) await dropsInvalid(host);
      const clients = await startReaders(100);
      await eachKnows(cluster, cluster.others(holder), 100);
      const fromMs = monotonicMs();
      await holder.linkDown();
      await cluster.oneHolder((host) => host !== holder, { vip });
      await clients.haveNoticed(fromMs, 100, () => cluster.describe(fromMs));
      t.diagnostic(`reset after the cut: ${describeDelays(clients.delays(fromMs).ended)}`);
    });

    test('what did not come from a peer, on this link, in the right form, is dropped and counted', async () => {
      await cluster.settled();
      const [target, peer] = cluster.hosts as [Host, Host];
      const addressOf = ({ ipv4, ipv6 }: Host): string => (vip === VIP_IPV4 ? ipv4 : (ipv6 ?? ''));
      const daemon = cluster.daemon(target);
      const dropped = (): Promise<number> => daemon.metric('kube_vrrp_takeover_datagrams_dropped_total');
      const malformed = async (): Promise<number> =>
        (await daemon.metricBy('reason', 'kube_vrrp_takeover_messages_rejected_total')).get('too_short') ?? 0;
      const [droppedBefore, malformedBefore] = [await dropped(), await malformed()];
      const fromPeer = { from: addressOf(peer), sourcePort: PROXY_PORT, ttl: 255 };
      await sendUdp(peer, addressOf(target), { ...fromPeer, ttl: 64 });
      await sendUdp(peer, addressOf(target), { ...fromPeer, sourcePort: PROXY_PORT + 1 });
      await sendUdp(lab.client, addressOf(target), { ...fromPeer, from: addressOf(lab.client) });
      await eventually(async () => (await dropped()) === droppedBefore + 3, { what: 'three to be dropped' });
      assert.equal(await malformed(), malformedBefore, 'nothing of that has reached the daemon');
      await sendUdp(peer, addressOf(target), fromPeer);
      await eventually(async () => (await malformed()) === malformedBefore + 1, {
        what: 'a message too short',
      });
      assert.equal(await dropped(), droppedBefore + 3);
    });

    test('a planned handover: clients that only read come back at once', async (t) => {
      const holder = await cluster.settled();
      const clients = await startReaders(200);
      await eachKnows(cluster, cluster.others(holder), 200);
      const { socket } = cluster.configOf(holder)['admin'] as { readonly socket: string };
      const { body } = await ask({ kind: 'unix', path: socket, text: socket }, 'GET', '/connections', 5000);
      const listed = body as readonly OpenedConnection[];
      assert.equal(listed.filter(({ local }) => parseSocketAddress(local)?.text === vip).length, 200);
      const listedAtMs = monotonicMs();
      await eventually(() => monotonicMs() - listedAtMs > GROWN_UP_MS, { what: 'all to be grown up' });
      const fromMs = monotonicMs();
      cluster.daemon(holder).signal('SIGTERM');
      await cluster.oneHolder((host) => host !== holder, { vip });
      await clients.haveNoticed(fromMs, 200, () => cluster.describe(fromMs));
      await clients.allConnected();
      t.diagnostic(
        `connected again after SIGTERM: ${describeDelays(clients.delays(fromMs).resumed)}; target 200 ms`,
      );
      await cluster.daemon(holder).ended();
    });
  });
}
