/** API servers come and go: what that does to the VIP, to clients and to their established connections. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import { describeDisruption } from '../kit/client.ts';
import { Cluster, PROXY_PORT } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import { assertNoTwoHolders, assertVipStayed } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { VIP_IPV4, createLab, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';
import { Readers } from '../kit/readers.ts';

await enterLab();

const READERS = 30;
/** What is counted here is errors; a busy machine may let a request time out. A black hole takes longer. */
const OUTAGE_MS = 2000;

describe('API servers come and go', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
    // Half a second: the VIP has to stay for what happens to API servers, also where the machine stands still for a
    // moment.
    cluster = await Cluster.start(lab, { config: { vrrp: { advertisementInterval: '500ms' } } });
  });
  beforeEach(async () => cluster.repair());
  after(async () => lab.remove());

  /** Waits until a node sees these backends up and no others. */
  async function sees(observer: Host, up: readonly Host[]): Promise<void> {
    const wanted = up.map(({ ipv4 }) => `${ipv4}:${API_SERVER_PORT}`).toSorted();
    await eventually(
      async () => {
        const { backends } = await cluster.daemon(observer).status();
        const seen = backends.filter(({ state }) => state === 'up').map(({ id }) => id);
        return seen.toSorted().join() === wanted.join();
      },
      {
        what: `${observer.name} to see ${wanted.join(' ') || 'nothing'} up`,
        otherwise: () => cluster.describe(),
      },
    );
  }

  /** Which node's API server answers one request of the client through the VIP. */
  async function askOnce(): Promise<string> {
    const [client] = lab.clients;
    assert.ok(client !== undefined);
    const url = `https://${VIP_IPV4}:${PROXY_PORT}/version`;
    const script = `
      const request = require('node:https').get('${url}', { rejectUnauthorized: false, agent: false }, (response) =>
        response.setEncoding('utf8').on('data', (text) => process.stdout.write(text)));
      request.on('error', (error) => { throw error; });`;
    const { stdout } = await client.exec(process.execPath, '-e', script);
    return (JSON.parse(stdout) as { node: string }).node;
  }

  async function classBecomes(host: Host, wanted: 'A' | 'B' | 'C'): Promise<void> {
    await eventually(async () => (await cluster.daemon(host).status()).class === wanted, {
      what: `${host.name} to be in class ${wanted}`,
      otherwise: () => cluster.describe(),
    });
  }

  test('in health, the holder serves a client from its own API server', async () => {
    const holder = await cluster.settled();
    // Least connections come first, so only a client that is alone shows where ties go.
    await cluster.stopClients();
    for (let round = 0; round < 5; round += 1) {
      await eventually(async () => (await cluster.daemon(holder).status()).clients === 0, {
        what: 'the proxy to be idle',
        otherwise: () => cluster.describe(),
      });
      assert.equal(await askOnce(), holder.name);
    }
  });

  test("the holder's API server is killed: the VIP stays, traffic goes to peers", async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => cluster.apiServer(holder).kill(),
      () => classBecomes(holder, 'B'),
    );
    t.diagnostic(`local API server killed: ${describeDisruption(disruption)}`);
    // A refused connection goes to the next backend at once; only requests under way at the kill may be lost.
    assert.ok(disruption.errors <= 3 && disruption.outageMs <= OUTAGE_MS, cluster.describe(fromMs));
    await assertVipStayed(cluster, holder, fromMs);
    const laterMs = monotonicMs();
    await cluster.client().steady();
    assert.ok(!cluster.client().answeredBy(laterMs).has(holder.name));
    await cluster.apiServer(holder).start();
    await cluster.settled();
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('an API server fails its health check: the VIP stays, its connections move to another', async (t) => {
    const holder = await cluster.settled();
    const watcher = cluster.watch();
    await watcher.nextEvent();
    // The least busy one at that moment has it, which need not be the holder's own.
    const server = lab.host(watcher.node);
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => cluster.apiServer(server).fail(),
      () => sees(holder, cluster.others(server)),
    );
    t.diagnostic(`API server of ${server.name} unhealthy: ${describeDisruption(disruption)}`);
    await eventually(() => watcher.node !== server.name, {
      what: 'the watch to move to a healthy API server',
    });
    assert.ok(disruption.errors <= 2 && disruption.outageMs <= OUTAGE_MS, cluster.describe(fromMs));
    await assertVipStayed(cluster, holder, fromMs);
    await watcher.stop();
    cluster.apiServer(server).recover();
    await cluster.settled();
  });

  test("the holder's API server hangs: noticed, and traffic goes to peers", async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => cluster.apiServer(holder).freeze(),
      () => sees(holder, cluster.others(holder)),
    );
    t.diagnostic(`local API server hangs: ${describeDisruption(disruption)}`);
    // Three checks of 2 s each, begun each second, and one that was just over: less than 10 s.
    assert.ok(disruption.outageMs <= 10_000, cluster.describe(fromMs));
    await assertVipStayed(cluster, holder, fromMs);
    cluster.apiServer(holder).thaw();
    await cluster.settled();
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('an API server that is about to stop keeps its watch and gets no new clients', async () => {
    const holder = await cluster.settled();
    const watcher = cluster.watch();
    await watcher.nextEvent();
    const server = lab.host(watcher.node);
    const isState = (wanted: string): Promise<unknown> =>
      eventually(
        async () => {
          const { backends } = await cluster.daemon(holder).status();
          return backends.some(({ id, state }) => id.startsWith(`${server.ipv4}:`) && state === wanted);
        },
        { what: `${holder.name} to see ${server.name} ${wanted}`, otherwise: () => cluster.describe() },
      );
    cluster.apiServer(server).announceStop();
    await isState('draining');
    // The thread that takes connections may hear of it a moment later.
    await cluster.client().steady();
    const fromMs = monotonicMs();
    await cluster.client().steady(fromMs);
    assert.ok(!cluster.client().answeredBy(fromMs).has(server.name), cluster.describe(fromMs));
    await watcher.nextEvent();
    assert.equal(watcher.node, server.name);
    assert.deepEqual(watcher.interruptions(fromMs), []);
    cluster.apiServer(server).recover();
    await isState('up');
    await watcher.stop();
    await assertVipStayed(cluster, holder, fromMs);
  });

  test("the host of an API server falls silent: its clients are reset, the others' are not, and no socket is left", async (t) => {
    const holder = await cluster.settled();
    await cluster.stopClients();
    const readers = new Readers(lab.client, { host: VIP_IPV4, port: PROXY_PORT, count: READERS });
    await readers.allConnected();
    // A client that the kernel has accepted is one of the proxy's, with a socket to an API server, a moment later.
    await eventually(async () => (await cluster.daemon(holder).status()).clients === READERS, {
      what: 'the proxy to have every client',
      otherwise: () => cluster.describe(),
    });
    const socketsTo = async (host: Host): Promise<number> => {
      const { stdout } = await holder.exec('ss', '-Htn', 'dst', `${host.ipv4}:${API_SERVER_PORT}`);
      return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('TIME-WAIT')).length;
    };
    // An API server that was away a moment ago has few clients yet.
    const byClients = await Promise.all(
      cluster.others(holder).map(async (host) => ({ host, sockets: await socketsTo(host) })),
    );
    const { host: lost, sockets: onLost } = byClients.reduce((most, next) =>
      next.sockets > most.sockets ? next : most,
    );
    // A check may be under way as they are counted.
    assert.ok(onLost > 3 && onLost < READERS, `${onLost} of ${READERS} are on ${lost.name}`);
    const closedDown = (): Promise<number> =>
      cluster.daemon(holder).metric('kube_vrrp_proxy_closed_total', { reason: 'backend_down' });
    const closedBefore = await closedDown();
    const fromMs = monotonicMs();
    await lost.linkDown();
    await eventually(async () => (await closedDown()) > closedBefore, {
      what: `the clients of ${lost.name} to be reset`,
      deadlineMs: 30_000,
      otherwise: () => cluster.describe(),
    });
    await eventually(async () => (await socketsTo(lost)) <= 2, {
      what: `no socket to ${lost.name} to be left, but those of the check at work and of one that the cut has caught`,
      otherwise: () => cluster.describe(),
    });
    const closed = (await closedDown()) - closedBefore;
    assert.ok(closed <= onLost && closed >= onLost - 1, `${closed} of ${onLost} were closed`);
    await readers.haveNoticed(fromMs, closed, () => cluster.describe(fromMs));
    await readers.allConnected();
    const { ended, reasons } = readers.delays(fromMs);
    t.diagnostic(`${ended.length} of ${READERS} reset, the last after ${ended.at(-1)?.toFixed(0)} ms`);
    assert.equal(ended.length, closed);
    assert.deepEqual(Object.keys(reasons), ['ECONNRESET']);
    await readers.stop();
    await lost.linkUp();
    assert.equal(await cluster.settled(), holder);
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('all API servers unhealthy and back: nothing moves, established connections survive', async (t) => {
    const holder = await cluster.settled();
    const watcher = cluster.watch();
    await watcher.nextEvent();
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      () => cluster.hosts.forEach((host) => cluster.apiServer(host).fail()),
      async () => {
        for (const host of cluster.hosts) await classBecomes(host, 'C');
        await watcher.nextEvent();
        for (const host of cluster.hosts) cluster.apiServer(host).recover();
        for (const host of cluster.hosts) await classBecomes(host, 'A');
      },
    );
    t.diagnostic(`all unhealthy and back: ${describeDisruption(disruption)}`);
    // When none is healthy, all are tried, and these answer everything but health checks. Refusals would be many.
    assert.ok(disruption.errors <= 2 && disruption.outageMs <= OUTAGE_MS, cluster.describe(fromMs));
    await watcher.nextEvent();
    assert.deepEqual(watcher.interruptions(fromMs), []);
    await watcher.stop();
    assert.equal(await cluster.settled(), holder);
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('all API servers dead and back: clients are refused at once, nothing moves, service resumes', async (t) => {
    const holder = await cluster.settled();
    const fromMs = monotonicMs();
    const client = cluster.client();
    await Promise.all(cluster.hosts.map((host) => cluster.apiServer(host).kill()));
    for (const host of cluster.hosts) await classBecomes(host, 'C');
    const deadAtMs = monotonicMs();
    await eventually(() => client.attempts(deadAtMs).length >= 50, { what: 'requests while all are dead' });
    const during = client.attempts(deadAtMs);
    assert.ok(during.every(({ ok }) => !ok));
    const slowestMs = Math.max(...during.map(({ startMs, endMs }) => endMs - startMs));
    t.diagnostic(`all dead: the slowest refusal took ${slowestMs.toFixed(0)} ms`);
    const timeouts = during.filter(({ detail }) => detail === 'timeout').length;
    // Of a busy machine, that is. A proxy that holds connections keeps nearly everybody waiting.
    assert.ok(timeouts <= during.length / 10, `${timeouts} of ${during.length} were kept waiting`);
    await Promise.all(cluster.hosts.map((host) => cluster.apiServer(host).start()));
    const backAtMs = monotonicMs();
    await client.steady(backAtMs);
    assert.equal(await cluster.settled(), holder);
    await assertVipStayed(cluster, holder, fromMs);
  });

  test('a holder that can reach no API server gives the VIP to a node that can', async (t) => {
    const holder = await cluster.settled();
    const others = cluster.others(holder);
    const fromMs = monotonicMs();
    const disruption = await cluster.disrupt(
      async () => {
        await cluster.apiServer(holder).kill();
        await holder.ip(...others.map(({ ipv4 }) => `route add blackhole ${ipv4}/32`));
      },
      () => cluster.oneHolder((host) => host !== holder),
    );
    t.diagnostic(`holder falls to class C: ${describeDisruption(disruption)}`);
    assertNoTwoHolders(cluster, fromMs);
    const successor = cluster.holder();
    assert.equal((await cluster.daemon(holder).status()).class, 'C');
    const healedAtMs = monotonicMs();
    await holder.ip(...others.map(({ ipv4 }) => `route del blackhole ${ipv4}/32`));
    await cluster.apiServer(holder).start();
    assert.equal(await cluster.settled(), successor);
    await assertVipStayed(cluster, successor, healedAtMs);
  });
});
