/** Planned handovers: what clients have under way is finished, and when a node may be drained at all. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { PollingClient } from '../kit/client.ts';
import { Cluster, PROXY_PORT } from '../kit/cluster.ts';
import type { Daemon } from '../kit/daemon.ts';
import { eventually } from '../kit/eventually.ts';
import { assertNoTwoHolders, HANDOVER_OVERLAP_MS } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { createLab, type Lab, VIP_IPV4, VIP_IPV6 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';
import { Readers } from '../kit/readers.ts';

await enterLab();

const HANDOVERS = 6;
/** On a busy machine it may take more, until a client has something to say at the moment of one. */
const MAX_HANDOVERS = 24;
/** Until one that all were prepared for, which a busy machine may leave no time for. */
const MAX_SLOW_HANDOVERS = 3;
const READERS = 100;
/** So often that at most moments a request is under way. */
const POLL_MS = 10;
/** So that ten are under way at any time. */
const SLOW_POLL_MS = 50;

type Drained = {
  readonly holder: Host;
  readonly fromMs: number;
  /** When another host has got the VIP, too. */
  readonly movedAtMs: number;
  readonly isPrepared: boolean;
};

/** Whether all peers of a holder that hands over have told it in time that they are prepared; it logs who has not. */
function foundPeersPrepared(holder: Daemon, fromMs: number): boolean {
  return !holder.log(fromMs).some(({ event }) => event === 'handover_unprepared');
}

/** Drains the holder while `poller` asks. */
async function drainHolder(lab: Lab, cluster: Cluster, poller: PollingClient, vip: string): Promise<Drained> {
  const holder = await cluster.oneHolder(() => true, { vip });
  await poller.steady();
  const fromMs = monotonicMs();
  const { exitCode, stdout, stderr } = await cluster.daemon(holder).command('drain');
  assert.equal(exitCode, 0, stdout + stderr);
  await cluster.oneHolder((host) => host !== holder, { vip });
  await poller.steady();
  return {
    holder,
    fromMs,
    movedAtMs: lab.timeline.spans(vip, fromMs)[1]?.fromMs ?? Number.NaN,
    isPrepared: foundPeersPrepared(cluster.daemon(holder), fromMs),
  };
}

for (const vip of [VIP_IPV4, VIP_IPV6]) {
  describe(`handing ${vip} over`, () => {
    let lab: Lab;
    let cluster: Cluster;
    let poller: PollingClient;

    before(async () => {
      lab = await createLab({ hosts: 3, clients: 1, ipv6: vip === VIP_IPV6 });
      cluster = await Cluster.start(lab, { vips: [vip] });
      await cluster.stopClients();
      poller = new PollingClient(lab.client, cluster.url(vip, '/version'), cluster.caFile, {
        intervalMs: POLL_MS,
      });
    });
    after(async () => lab.remove());

    const handedOn = (): number =>
      cluster.hosts.flatMap((host) =>
        cluster
          .daemon(host)
          .log()
          .filter(({ event }) => event === 'handover'),
      ).length;

    test(`requests that are under way are finished, in ${HANDOVERS} drains and more under a client that asks each ${POLL_MS} ms`, async (t) => {
      let reset = 0;
      let finished = 0;
      for (let round = 0; round < HANDOVERS || (handedOn() === 0 && round < MAX_HANDOVERS); round += 1) {
        const { holder, fromMs, movedAtMs, isPrepared } = await drainHolder(lab, cluster, poller, vip);
        const attempts = poller.attempts(fromMs);
        // A machine that is too busy to answer within anybody's patience says nothing about the handover.
        const isTooBusy = !isPrepared || attempts.some(({ detail }) => detail === 'timeout');
        if (!isTooBusy) reset += attempts.filter(({ ok }) => !ok).length;
        finished += attempts.filter(
          ({ ok, startMs, endMs }) => ok && startMs < movedAtMs && endMs > movedAtMs,
        ).length;
        await cluster.daemon(holder).command('undrain');
      }
      t.diagnostic(`${finished} requests that were under way were finished, ${reset} were reset; target 0`);
      await eventually(() => handedOn() > 0, {
        what: 'a successor to have handed segments on',
        otherwise: () => cluster.describe(),
      });
      assert.ok(finished > 0, cluster.describe());
      // Where the successor resets them, as many are reset as are finished.
      assert.ok(2 * reset <= finished, `${reset} requests were reset\n${cluster.describe()}`);
    });
  });
}

describe('handing over while requests wait for their answers', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
    await cluster.stopClients();
  });
  after(async () => lab.remove());

  test('those that the API server takes half a second for are answered', async () => {
    const poller = new PollingClient(lab.client, cluster.url(VIP_IPV4, '/slow'), cluster.caFile, {
      intervalMs: SLOW_POLL_MS,
      timeoutMs: 5000,
    });
    const drainedOnce = async (): Promise<Drained> => {
      for (let round = 1; ; round += 1) {
        const drained = await drainHolder(lab, cluster, poller, VIP_IPV4);
        await cluster.daemon(drained.holder).command('undrain');
        if (drained.isPrepared || round === MAX_SLOW_HANDOVERS) return drained;
      }
    };
    const { fromMs, movedAtMs, isPrepared } = await drainedOnce();
    assert.ok(isPrepared, cluster.describe(fromMs));
    const underWay = poller
      .attempts(0)
      .filter(({ startMs, endMs }) => startMs < movedAtMs && endMs > movedAtMs);
    assert.ok(underWay.length > 1, cluster.describe(fromMs));
    assert.deepEqual(
      underWay.filter(({ ok }) => !ok),
      [],
      cluster.describe(fromMs),
    );
    assertNoTwoHolders(cluster, fromMs, VIP_IPV4, HANDOVER_OVERLAP_MS);
  });
});

describe('draining a node', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab);
  });
  beforeEach(async () => cluster.repair());
  after(async () => lab.remove());

  const othersSeenDown = (holder: Host): Promise<unknown> =>
    eventually(
      async () => {
        const { backends } = await cluster.daemon(holder).status();
        return backends.every(({ local, state }) => local || state === 'down');
      },
      { what: 'the API servers of the others to be down', otherwise: () => cluster.describe() },
    );

  test('is refused while no other node is healthy, and the VIP stays', async () => {
    const holder = await cluster.settled();
    for (const other of cluster.others(holder)) cluster.apiServer(other).fail();
    await othersSeenDown(holder);
    const { exitCode, stderr } = await cluster.daemon(holder).command('drain');
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^kube-vrrp drain: no other node is healthy \(.*\), so no node would take over: use --force/u,
    );
    assert.equal((await cluster.daemon(holder).status()).drained, false);
    assert.equal(cluster.holder(), holder);
  });

  test('by force takes the VIP away although nobody takes it, and undrain brings it back', async () => {
    const holder = await cluster.settled();
    for (const host of cluster.others(holder)) await cluster.daemon(host).kill();
    for (const other of cluster.others(holder)) await cluster.apiServer(other).kill();
    await othersSeenDown(holder);
    const { exitCode, stdout, stderr } = await cluster.daemon(holder).command('drain', '--force');
    assert.equal(exitCode, 1, 'no node serves clients');
    assert.match(stdout, new RegExp(`${VIP_IPV4} given up, and no node has taken it`, 'u'));
    assert.match(stderr, new RegExp(`^kube-vrrp drain: no node holds ${VIP_IPV4} now`, 'u'));
    const [router] = (await cluster.daemon(holder).status()).virtualRouters;
    assert.equal(router?.priority, 0, 'a drained node stands for no election');
    await eventually(() => lab.holders(VIP_IPV4).length === 0, { what: 'the VIP to be gone' });
    assert.equal((await cluster.daemon(holder).command('undrain')).exitCode, 0);
    assert.equal(await cluster.oneHolder(), holder);
  });

  test('by force hands over without a gap where somebody takes over', async (t) => {
    const holder = await cluster.settled();
    const disruption = await cluster.disrupt(
      async () => assert.equal((await cluster.daemon(holder).command('drain', '--force')).exitCode, 0),
      () => cluster.oneHolder((host) => host !== holder),
    );
    t.diagnostic(`longest gap ${disruption.longestGapMs.toFixed(0)} ms, ${disruption.failed} failed`);
    assert.ok(disruption.outageMs <= 500, cluster.describe());
    assert.equal((await cluster.daemon(holder).command('undrain')).exitCode, 0);
  });
});

describe('another configuration', () => {
  const CHANGE = {
    proxy: { workers: 2, maxConnectionsPerSource: 500 },
    health: { interval: '700ms' },
    log: { level: 'debug' },
  };
  const changed = new Set<Host>();
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    cluster = await Cluster.start(lab, { configOf: (host) => (changed.has(host) ? CHANGE : {}) });
  });
  after(async () => lab.remove());

  test('comes node by node under load: open connections move, requests are answered, and nothing is left', async (t) => {
    await cluster.settled();
    const readers = new Readers(lab.client, { host: VIP_IPV4, port: PROXY_PORT, count: READERS });
    await readers.allConnected();
    const watcher = cluster.watch();
    await watcher.nextEvent();
    const fromMs = monotonicMs();
    // The holder last: then the connections move once.
    const holder = cluster.holder();
    let arePrepared = true;
    for (const host of [...cluster.others(holder), holder]) {
      const daemon = cluster.daemon(host);
      daemon.signal('SIGTERM');
      assert.deepEqual(await daemon.ended(), { code: 0, signal: null });
      assert.ok(!daemon.log().some(({ level, event }) => level === 'debug' || event === 'connection'));
      if (host === holder) arePrepared = foundPeersPrepared(daemon, fromMs);
      changed.add(host);
      cluster.startDaemon(host);
      await cluster.settled();
      const metrics = await cluster.daemon(host).metrics();
      assert.ok(
        metrics.some(({ labels }) => labels['thread'] === 'proxy1'),
        cluster.describe(fromMs),
      );
    }
    await readers.haveNoticed(fromMs, READERS, () => cluster.describe(fromMs));
    await readers.allConnected();
    await watcher.nextEvent();
    const successor = cluster.holder();
    assert.notEqual(successor, holder);
    const { failed, outageMs, requests, failures } = cluster.client().disruption(fromMs);
    const { reasons } = readers.delays(fromMs);
    t.diagnostic(`${failed} of ${requests} requests failed, no answer for ${outageMs.toFixed(0)} ms`);
    // None, but on a machine that is too busy to answer within the client's patience, or the holder's.
    const errors = failures.filter((failure) => failure !== 'timeout');
    assert.deepEqual(arePrepared ? errors : [], [], `${errors.join()}\n${cluster.describe(fromMs)}`);
    assert.deepEqual(reasons, { ECONNRESET: READERS }, JSON.stringify(reasons));
    assert.deepEqual(
      watcher.interruptions(fromMs).map(({ reason }) => reason),
      ['ECONNRESET'],
      JSON.stringify(watcher.interruptions(fromMs)),
    );
    const clients = await cluster.daemon(successor).metric('kube_vrrp_proxy_clients');
    assert.ok(clients >= READERS + 1, `${clients} clients`);
    await readers.stop();
    await cluster.stopClients();
    let left = '';
    await eventually(
      async () => {
        const waiting = cluster.hosts.map((host) => host.exec('ss', '-Htn', 'state', 'close-wait'));
        left = (await Promise.all(waiting)).map(({ stdout }) => stdout).join('');
        return left === '' && (await cluster.daemon(successor).metric('kube_vrrp_proxy_clients')) === 0;
      },
      { what: 'all clients to be gone, and every FIN to be answered', otherwise: () => left },
    );
    const ends = cluster
      .daemon(successor)
      .log()
      .filter(({ event }) => event === 'connection');
    assert.ok(
      ends.some(({ level, fields }) => level === 'debug' && Number(fields['bytesToClient']) > 0),
      cluster.describe(fromMs),
    );
  });
});
