/** Clients and their backends on loopback: who is served by whom, and what ends it. Needs no privileges. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { describe, test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { echo, startBackend, startSilentBackend } from '../../testing/proxy-backends.ts';
import { ending, roundTrip } from '../../testing/proxy-clients.ts';
import { freePort, LIMITS, startProxy } from '../../testing/proxy.ts';
import { closeWaits, establishedTo, shutListener, watchDescriptors } from '../../testing/sockets.ts';
import { DEADLINE_MS, until } from '../../testing/until.ts';
import type { ConnectionDetail } from '../connections.ts';
import { YOUNG_MS } from '../lingering.ts';
import { ListenError } from './listener.ts';
import { socketAddress, startConnecting } from './tcp-socket.ts';

watchDescriptors();

test('a client reaches a backend', async (t) => {
  const backend = await startBackend(t, echo);
  const { client } = await startProxy(t, [backend.backend()]);
  await roundTrip(await client());
});

describe('choice of backend', () => {
  test('fewest connections, the local one first on ties', async (t) => {
    const peer = await startBackend(t);
    const local = await startBackend(t);
    const { client } = await startProxy(t, [peer.backend(), local.backend({ local: true })]);
    await client();
    await until(() => local.sockets.length === 1, 'the first goes to the local one');
    await client();
    await until(() => peer.sockets.length === 1, 'the second to the peer');
    await client();
    await until(() => local.sockets.length === 2, 'the third to the local one');
    local.sockets[0]?.destroy();
    local.sockets[1]?.destroy();
    assert.equal(peer.sockets.length, 1);
  });

  test('one that refuses costs a counter, and the client gets the next one', async (t) => {
    const refusing = await startBackend(t);
    await refusing.refuse();
    const backend = await startBackend(t, echo);
    const { client, counts, logs } = await startProxy(t, [
      refusing.backend({ local: true }),
      backend.backend(),
    ]);
    const socket = await client();
    await roundTrip(socket);
    assert.equal(counts().backends[0]?.connectFailures, 1);
    assert.equal(counts().backends[0]?.connections, 0);
    assert.equal(counts().backends[1]?.connections, 1);
    assert.equal(counts().backends[1]?.connectionsTotal, 1);
    assert.match(logs[0]?.message ?? '', /^cannot connect to backend .*: ECONNREFUSED$/);
  });

  test('one that drops SYNs costs the connect timeout, and what the client sent meanwhile is not lost', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, counts } = await startProxy(t, [silent, backend.backend()], { connectTimeoutMs: 150 });
    await roundTrip(await client(), 'sent while the first backend is silent');
    assert.equal(counts().backends[0]?.connectFailures, 1);
    assert.equal(counts().backends[0]?.connections, 0);
  });

  test('one that refused is passed over from then on, until a good check proves it', async (t) => {
    const refusing = await startBackend(t);
    await refusing.refuse();
    const backend = await startBackend(t, echo);
    const { client, counts, view } = await startProxy(t, [
      refusing.backend({ local: true }),
      backend.backend(),
    ]);
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(counts().backends[0]?.connectFailures, 1);
    view.prove(0, monotonicMs());
    await roundTrip(await client());
    assert.equal(counts().backends[0]?.connectFailures, 2);
  });

  test('one that does not answer is passed over before its first client has given up', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, counts, view } = await startProxy(t, [silent, backend.backend()], {
      connectTimeoutMs: 60_000,
    });
    await client();
    await until(() => view.isSuspect(0), 'the silent one is suspect');
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(counts().backends[0]?.connections, 1);
    assert.equal(counts().backends[0]?.connectFailures, 0);
  });

  test('with nothing reachable the client is reset at once and counted', async (t) => {
    const refusing = await Promise.all([startBackend(t), startBackend(t)]);
    await Promise.all(refusing.map((backend) => backend.refuse()));
    const { outcome, counts, logs } = await startProxy(
      t,
      refusing.map((backend) => backend.backend()),
    );
    assert.equal(await outcome(), 'ECONNRESET');
    assert.equal(counts().endings.no_backend, 1);
    assert.deepEqual(
      counts().backends.map((backend) => backend.connectFailures),
      [1, 1],
    );
    for (let count = 0; count < 20; count += 1) await outcome();
    assert.equal(counts().endings.no_backend, 21);
    assert.ok(logs.length <= 3, `the log is rate limited, got ${logs.length} lines`);
  });

  test('without any backend the client is reset at once', async (t) => {
    const { outcome } = await startProxy(t, []);
    assert.equal(await outcome(), 'ECONNRESET');
  });

  test('fails open: backends that are down or unknown are used while none is up', async (t) => {
    const backend = await startBackend(t, echo);
    const refusing = await startBackend(t);
    await refusing.refuse();
    const { client, proxy } = await startProxy(t, [
      refusing.backend({ state: 'down', local: true }),
      backend.backend({ state: 'down' }),
    ]);
    await roundTrip(await client());
    proxy.setBackends([backend.backend({ state: 'unknown' })]);
    await roundTrip(await client());
  });

  test('a backend that is down gets nobody while another is up', async (t) => {
    const down = await startBackend(t);
    const up = await startBackend(t, echo);
    const { client } = await startProxy(t, [down.backend({ state: 'down', local: true }), up.backend()]);
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(down.sockets.length, 0);
  });
});

describe('health', () => {
  test('a backend that goes down loses its connections while another is up', async (t) => {
    const first = await startBackend(t, echo);
    const second = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [first.backend({ local: true }), second.backend()]);
    const onFirst = await client();
    await roundTrip(onFirst);
    const onSecond = await client();
    await roundTrip(onSecond);
    const end = ending(onFirst);
    const backendEnd = ending(first.sockets[0]!);
    proxy.setBackends([first.backend({ state: 'down' }), second.backend()]);
    assert.equal(await end, 'ECONNRESET');
    assert.equal(await backendEnd, 'ECONNRESET');
    await roundTrip(onSecond);
    assert.equal(counts().endings.backend_down, 1);
    assert.equal(counts().clients, 1);
  });

  test('connections stay when the last backend goes down, and when another comes back', async (t) => {
    const first = await startBackend(t, echo);
    const second = await startBackend(t, echo);
    const down = { state: 'down' } as const;
    const { client, proxy, counts } = await startProxy(t, [first.backend(), second.backend(down)]);
    const socket = await client();
    await roundTrip(socket);
    proxy.setBackends([first.backend(down), second.backend(down)]);
    await roundTrip(socket);
    proxy.setBackends([first.backend(down), second.backend()]);
    await roundTrip(socket);
    assert.equal(counts().endings.backend_down, 0);
  });

  test('a draining backend keeps its connections and gets no new ones, and gets some again when it is ready', async (t) => {
    const stopping = await startBackend(t, echo);
    const other = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [
      stopping.backend({ local: true }),
      other.backend(),
    ]);
    const watch = await client();
    await roundTrip(watch);
    proxy.setBackends([stopping.backend({ state: 'draining' }), other.backend()]);
    for (let count = 0; count < 5; count += 1) await roundTrip(await client());
    assert.equal(stopping.sockets.length, 1);
    await roundTrip(watch);
    assert.equal(counts().endings.backend_down, 0);
    proxy.setBackends([stopping.backend(), other.backend()]);
    proxy.setBackends([stopping.backend({ state: 'draining' }), other.backend({ state: 'down' })]);
    await roundTrip(await client());
    assert.equal(stopping.sockets.length, 2);
  });

  test('a backend that returns is not given every client until it has as many as the others', async (t) => {
    const [stayed, returned] = [await startBackend(t, echo), await startBackend(t, echo)];
    const { client, proxy } = await startProxy(t, [stayed.backend(), returned.backend({ state: 'down' })]);
    for (let count = 0; count < 8; count += 1) await roundTrip(await client());
    proxy.setBackends([stayed.backend(), returned.backend()]);
    for (let count = 0; count < 4; count += 1) await roundTrip(await client());
    // A twentieth of a share: its first client would make as much of a load as twenty of the other one's.
    assert.deepEqual([stayed.sockets.length, returned.sockets.length], [12, 0]);
  });

  test('a backend that accepts and says nothing holds its own client only, until it is down and the client is reset', async (t) => {
    const silent = await startBackend(t, (socket) => void socket.resume());
    const sound = await startBackend(t, echo);
    const { client, outcome, proxy, counts, port } = await startProxy(t, [
      silent.backend({ local: true }),
      sound.backend(),
    ]);
    const waiting = await client();
    const end = ending(waiting);
    waiting.write('hello');
    await until(() => counts().backends[0]?.bytesToBackend === 5, 'it has the hello');
    const other = await client();
    await roundTrip(other);
    assert.equal(counts().clients, 2); // the first still waits: it may be a slow one
    const down = { state: 'down' } as const;
    proxy.setBackends([silent.backend(down), sound.backend()]);
    assert.equal(await end, 'ECONNRESET');
    await roundTrip(await client());
    await roundTrip(other);
    assert.equal(counts().endings.backend_down, 1);
    assert.equal(silent.sockets.length, 1);
    proxy.setBackends([silent.backend(down), sound.backend(down)]);
    await roundTrip(other); // nobody is better: it stays
    await until(() => closeWaits(silent.port) + closeWaits(port) === 0, 'no FIN is left unanswered');
    await sound.refuse();
    await silent.refuse();
    assert.equal(await outcome(), 'ECONNRESET');
  });

  test('a client that is connecting to a backend that goes down is moved to the next one', async (t) => {
    const silent = await startSilentBackend(t);
    const backend = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [silent, backend.backend()], {
      connectTimeoutMs: 60_000,
    });
    const socket = await client();
    await until(() => counts().backends[0]?.connections === 1, 'connecting');
    proxy.setBackends([{ ...silent, state: 'down' }, backend.backend()]);
    await roundTrip(socket);
    assert.equal(counts().endings.backend_down, 0);
  });

  test('a list with other members is logged, and known states are taken over', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, logs } = await startProxy(t, [backend.backend()]);
    proxy.setBackends([backend.backend({ id: '192.0.2.9:6443', host: '192.0.2.9' })]);
    proxy.setBackends([]);
    await roundTrip(await client());
    assert.deepEqual(logs[0]?.fields, { ids: ['192.0.2.9:6443'] });
  });
});

describe('accounting', () => {
  test('an open connection tells whose it is, since when, what it has carried, and who has finished', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy } = await startProxy(t, [backend.backend()]);
    const fromMs = monotonicMs();
    const half = await client('127.0.0.2');
    await roundTrip(half, 'twelve bytes');
    const other = await client();
    await roundTrip(other);
    const all = (): readonly ConnectionDetail[] => proxy.details(proxy.connections.entries(), 10) ?? [];
    const [first, second] = all();
    assert.ok(first !== undefined && second !== undefined);
    const { openedAtMs, idleMs, ...rest } = first;
    assert.deepEqual(rest, {
      id: 1,
      client: '::ffff:127.0.0.1',
      clientPort: half.localPort,
      local: '::ffff:127.0.0.2',
      backend: backend.backend().id,
      bytesToBackend: 12,
      bytesToClient: 12,
      state: 'open',
    });
    assert.ok(openedAtMs >= fromMs - 1 && openedAtMs <= monotonicMs(), `opened at ${openedAtMs}`);
    assert.ok(idleMs <= monotonicMs() - fromMs, `idle for ${idleMs} ms`);
    backend.sockets[1]?.unpipe().end();
    await until(() => all()[1]?.state === 'backend finished', 'the backend has finished');
    const sent = backend.sockets[0] ?? assert.fail();
    sent.unpipe(); // or it would answer the FIN
    half.end();
    await until(() => all()[0]?.state === 'client finished', 'the client has finished');
    sent.end();
    await until(() => all().length === 1, 'the first is gone');
    other.resetAndDestroy();
    await until(() => all().length === 0, 'the second is gone');
  });
});

describe('VIP', () => {
  for (const { vip, other } of [
    { vip: '127.0.0.2', other: '127.0.0.1' },
    { vip: '::1', other: '127.0.0.1' },
  ]) {
    test(`removal of ${vip} closes the connections on it and no others`, async (t) => {
      const backend = await startBackend(t, echo);
      const { client, proxy, counts } = await startProxy(t, [backend.backend()]);
      const onVip = [await client(vip), await client(vip)];
      const onOther = await client(other);
      for (const socket of [...onVip, onOther]) await roundTrip(socket);
      const ends = onVip.map((socket) => ending(socket));
      assert.equal(proxy.closeVip(vip), 2);
      assert.deepEqual(await Promise.all(ends), ['ECONNRESET', 'ECONNRESET']);
      await roundTrip(onOther);
      assert.equal(counts().endings.vip_removed, 2);
      assert.equal(proxy.closeVip('192.0.2.77'), 0);
    });
  }
});

describe('a client that the kernel has accepted and the proxy has not', () => {
  /** Connects without giving the proxy a turn. */
  function connectInKernel(port: number): Socket {
    const loopback = socketAddress(parseIp('127.0.0.1') ?? assert.fail(), port);
    const fd = startConnecting(loopback);
    assert.ok(typeof fd === 'number');
    const socket = new Socket({ fd });
    socket.on('error', () => {});
    const deadlineMs = monotonicMs() + DEADLINE_MS;
    while (establishedTo(port) === 0) assert.ok(monotonicMs() < deadlineMs, 'connected in the kernel');
    return socket;
  }

  test('is reset when the VIP goes', async (t) => {
    const backend = await startBackend(t, echo);
    const { proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = connectInKernel(port);
    assert.equal(proxy.closeVip('127.0.0.1'), 1);
    assert.equal(await ending(socket), 'ECONNRESET');
  });

  test('is served while the proxy stops', async (t) => {
    const backend = await startBackend(t, echo);
    const { proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = connectInKernel(port);
    const stopped = proxy.stop(60_000);
    await roundTrip(socket);
    socket.end();
    await stopped;
  });
});

describe('a VIP that a successor has taken', () => {
  const GROWN_UP_MS = YOUNG_MS + 100;

  test('resets who waits before who talks, and serves who comes', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, counts } = await startProxy(t, [backend.backend()]);
    const waiting = await client('127.0.0.2');
    const talking = await client('127.0.0.2');
    const elsewhere = await client();
    for (const socket of [waiting, talking, elsewhere]) await roundTrip(socket);
    const bornAtMs = monotonicMs();
    await until(() => monotonicMs() - bornAtMs > GROWN_UP_MS, 'all are grown up');
    const ends: string[] = [];
    waiting.once('close', () => ends.push('waiting'));
    talking.once('close', () => ends.push('talking'));
    await roundTrip(talking);
    talking.on('data', () => talking.write('and on'));
    talking.write('go');
    const handedOver = proxy.closeHandedOverVip('127.0.0.2');
    const late = await client('127.0.0.2');
    await roundTrip(late);
    late.end();
    assert.equal(await ending(late), 'fin');
    assert.equal(await handedOver, 2);
    await until(() => ends.length === 2, 'both have ended');
    assert.deepEqual(ends, ['waiting', 'talking']);
    await roundTrip(elsewhere);
    assert.equal(counts().endings.vip_removed, 2);
  });

  test('waits for an answer that takes its time, and then resets', async (t) => {
    const asked = Promise.withResolvers<Socket>();
    const backend = await startBackend(t, (socket) => void socket.on('data', () => asked.resolve(socket)));
    const { client, proxy } = await startProxy(t, [backend.backend()]);
    const asking = await client('127.0.0.2');
    const bornAtMs = monotonicMs();
    await until(() => monotonicMs() - bornAtMs > GROWN_UP_MS, 'it is grown up');
    asking.write('question');
    const answering = await asked.promise;
    const handedOver = proxy.closeHandedOverVip('127.0.0.2');
    const end = ending(asking);
    const answer = once(asking, 'data');
    const askedAtMs = monotonicMs();
    await until(() => monotonicMs() - askedAtMs > 300, 'the answer to be ready');
    answering.write('answer');
    assert.equal(String((await answer)[0]), 'answer');
    assert.equal(await end, 'ECONNRESET');
    assert.equal(await handedOver, 1);
  });
});

describe('stop', () => {
  test('accepts no more, and ends as soon as the last client has left', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy, port } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await roundTrip(socket);
    const stopped = proxy.stop(60_000);
    await roundTrip(socket);
    const late = connect({ host: '127.0.0.1', port });
    assert.equal(await ending(late), 'ECONNREFUSED');
    socket.end();
    await stopped;
  });

  test('resets who is left when the grace is over', async (t) => {
    const backend = await startBackend(t, echo);
    const { client, proxy } = await startProxy(t, [backend.backend()]);
    const socket = await client();
    await roundTrip(socket);
    const end = ending(socket);
    await proxy.stop(50);
    assert.equal(await end, 'ECONNRESET');
  });
});

describe('listening', () => {
  test('a taken port is one sentence', async (t) => {
    const taken: Server = createServer();
    taken.listen(0, '0.0.0.0');
    await once(taken, 'listening');
    t.after(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(startProxy(t, [], { port }), (error: unknown) => {
      assert.ok(error instanceof ListenError);
      assert.equal(error.code, 'EADDRINUSE');
      assert.match(error.message, new RegExp(`^port ${port} is in use: .* choose another proxy.port$`));
      return true;
    });
  });

  test('a backend that is the proxy itself is one sentence', async (t) => {
    const own = { id: 'n1:36443', host: '192.0.2.1', port: 36443, local: true, state: 'up' } as const;
    await assert.rejects(startProxy(t, [own], { port: 36443 }), (error: unknown) => {
      assert.ok(error instanceof ListenError);
      assert.equal(error.code, 'EPROXYLOOP');
      assert.match(error.message, /^backend n1:36443 is this proxy itself .* set proxy.backendPort/);
      return true;
    });
  });

  test('a backend that turns out to be the proxy itself later is dropped, not chased', async (t) => {
    const backend = await startBackend(t, echo);
    // An address of this host that is not recognized as one at the start, as the VIP before it comes here.
    const port = await freePort();
    const itself = { id: 'itself', host: '::ffff:127.0.0.1', port, local: false, state: 'up' as const };
    const { client, counts, logs } = await startProxy(t, [itself, backend.backend()], { port });
    await roundTrip(await client());
    await until(() => counts().backends[0]?.connections === 0, 'no connection to itself is left');
    const { accepted } = counts();
    assert.ok(accepted <= 4, `${accepted} clients accepted for one`);
    await roundTrip(await client());
    assert.equal(counts().accepted, accepted + 1);
    assert.equal(logs.filter((line) => line.level === 'error').length, 1);
  });

  test('a listener that is closed from outside is reported once, and costs connected clients nothing', async (t) => {
    const backend = await startBackend(t, echo);
    const lost: string[] = [];
    const { client, counts, port } = await startProxy(t, [backend.backend()], {
      onListenerLost: (reason) => lost.push(reason),
    });
    const socket = await client();
    await roundTrip(socket);
    assert.equal(counts().listeners, 1);
    shutListener(port);
    await until(() => lost.length > 0, 'the loss is reported');
    await roundTrip(socket);
    assert.equal(lost.length, 1);
    assert.deepEqual([counts().listeners, counts().acceptErrors], [0, 1]);
  });

  test('without free descriptors clients are turned away, and served again when there are some', async (t) => {
    const backend = await startBackend(t, echo);
    const modules = ['./tcp-proxy.ts', '../counters.ts', '../admission.ts', './event-loop.ts'].map(
      (path) => new URL(path, import.meta.url).href,
    );
    const script = `
      const [{ TcpProxy }, { createProxyCounters }, { createAdmissionMemory }, { EventLoop }] = await Promise.all(${JSON.stringify(modules)}.map((url) => import(url)));
      const limits = ${JSON.stringify(LIMITS)};
      const proxy = new TcpProxy(await EventLoop.start(), { port: 0, backends: [${JSON.stringify(backend.backend())}], connectTimeoutMs: 1000,
        reusePort: false, counters: createProxyCounters(), limits, admission: createAdmissionMemory(limits, 1), log: () => {} });
      console.log(proxy.listen());`;
    const limited = ['-c', 'ulimit -n 64 && exec "$0" --input-type=module -e "$1"', process.execPath, script];
    const child = spawn('sh', limited, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill());
    const port = Number((await once(child.stdout, 'data'))[0]);
    const clients: Socket[] = [];
    const ask = (): Promise<boolean> =>
      new Promise((resolve) => {
        const client = connect({ host: '127.0.0.1', port });
        clients.push(client);
        client.once('data', () => resolve(true));
        client.once('close', () => resolve(false));
        client.on('error', () => {});
        client.write('ping');
      });
    t.after(() => clients.forEach((client) => client.destroy()));
    const served = (await Promise.all(Array.from({ length: 100 }, ask))).filter(Boolean).length;
    assert.ok(served > 0 && served < 100, `${served} of 100 served`);
    for (const client of clients) client.destroy();
    const deadlineMs = monotonicMs() + DEADLINE_MS;
    while (!(await ask())) assert.ok(monotonicMs() < deadlineMs, 'nobody is served again');
  });
});
