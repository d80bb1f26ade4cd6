import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { type Socket, connect } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type TestContext, after, test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { type TestBackend, listenHttps, listenTcp } from '../../testing/backend-server.ts';
import { TestCa } from '../../testing/certificates.ts';
import type { CheckOutcome } from '../tracker.ts';
import { probe, trustOnly } from './probe.ts';

const LOOPBACK = ['IP:127.0.0.1', 'IP:::1'];
const [ca, otherCa] = await Promise.all([TestCa.create(), TestCa.create()]);
const good = await ca.issue({ names: LOOPBACK });
const trust = trustOnly(ca.pair.cert);

type Place = Pick<TestBackend, 'address' | 'port'>;

function check(
  { address, port }: Place,
  timeoutMs = 8000,
  trusted = trust,
  path = '/healthz',
): Promise<CheckOutcome> {
  const target = { address, port, path, trust: trusted, timeoutMs };
  return probe(target, new AbortController().signal);
}

/** Closes the backend when the test is over. */
async function use<Backend extends TestBackend>(
  context: TestContext,
  started: Promise<Backend>,
): Promise<Backend> {
  const backend = await started;
  context.after(() => backend.close());
  return backend;
}

async function detailOf(context: TestContext, started: Promise<TestBackend>): Promise<string> {
  const outcome = await check(await use(context, started));
  assert.equal(outcome.ok, false);
  assert.equal(outcome.refused, false);
  return outcome.detail;
}

test('a good backend: GET of the path, then of /readyz, over HTTP/1.1, without SNI', async (context) => {
  const seen: unknown[] = [];
  const backend = await use(
    context,
    listenHttps(good, ({ method, url, httpVersion, socket }, response) => {
      seen.push({ method, url, httpVersion, sni: 'servername' in socket && socket.servername });
      response.end('ok');
    }),
  );
  const before = performance.now();
  const outcome = await check(backend);
  assert.deepEqual(
    { ok: outcome.ok, refused: outcome.refused, detail: outcome.detail },
    { ok: true, refused: false, detail: '200' },
  );
  assert.ok(outcome.durationMs > 0 && outcome.durationMs <= performance.now() - before);
  const how = { method: 'GET', httpVersion: '1.1', sni: false };
  assert.deepEqual(seen, [
    { ...how, url: '/healthz' },
    { ...how, url: '/readyz' },
  ]);
});

test('the path may be any, with a query: it is asked for as it is', async (context) => {
  for (const path of [
    '/livez?exclude=etcd',
    '/readyz',
    '/readyz?verbose&exclude=etcd',
    '/a%20b/c?x=1;y=%2F',
  ]) {
    const seen: (string | undefined)[] = [];
    const backend = await use(
      context,
      listenHttps(good, ({ url }, response) => {
        seen.push(url);
        response.writeHead(url === path ? 200 : 404).end();
      }),
    );
    const { ok, ready, detail } = await check(backend, undefined, undefined, path);
    assert.deepEqual({ ok, ready, detail }, { ok: true, ready: true, detail: '200' });
    assert.deepEqual(seen, path === '/readyz' ? [path] : [path, '/readyz']);
  }
});

/** A backend whose /healthz is good and whose /readyz answers like this. */
function withReadiness(
  context: TestContext,
  answer: (response: ServerResponse) => void,
): Promise<TestBackend> {
  return use(
    context,
    listenHttps(good, ({ url }, response) => {
      if (url === '/readyz') answer(response);
      else response.end('ok');
    }),
  );
}

test('a backend whose /readyz fails is good, but not ready', async (context) => {
  const backend = await withReadiness(context, (response) =>
    response.writeHead(500).end('[-]shutdown failed'),
  );
  const { ok, ready, detail } = await check(backend);
  assert.deepEqual({ ok, ready, detail }, { ok: true, ready: false, detail: '200, but /readyz 500' });
});

test('a backend without /readyz, or one that may not be asked, is ready', async (context) => {
  for (const status of [200, 401, 403, 404]) {
    const backend = await withReadiness(context, (response) => response.writeHead(status).end());
    const { ok, ready, detail } = await check(backend);
    assert.deepEqual({ ok, ready, detail }, { ok: true, ready: true, detail: '200' });
  }
});

test('a /readyz that hangs or breaks off says nothing: the check itself was good', async (context) => {
  const hanging = await withReadiness(context, () => {});
  const breaking = await withReadiness(context, (response) => response.destroy());
  for (const outcome of [await check(hanging, 500), await check(breaking)]) {
    assert.deepEqual([outcome.ok, outcome.ready, outcome.detail], [true, true, '200']);
  }
});

test('a server that asks for a client certificate gets the one that is configured', async (context) => {
  const client = await ca.issue({ names: ['DNS:kube-vrrp'], usage: 'clientAuth' });
  const seen: boolean[] = [];
  const backend = await use(
    context,
    listenHttps(good, ({ socket }, response) => {
      const isKnown = 'authorized' in socket && socket.authorized === true;
      seen.push(isKnown);
      response.writeHead(isKnown ? 200 : 401).end();
    }),
  );
  backend.server.setSecureContext({ ...good, ca: ca.pair.cert });
  Object.assign(backend.server, { requestCert: true, rejectUnauthorized: false });
  assert.equal((await check(backend)).refused, true);
  const outcome = await check(backend, 8000, trustOnly(ca.pair.cert, client));
  assert.deepEqual([outcome.ok, outcome.refused, outcome.detail], [true, false, '200']);
});

test('a good backend over IPv6', async (context) => {
  const backend = await use(context, listenHttps(good, undefined, '::1'));
  assert.equal((await check(backend)).detail, '200');
});

test('the status decides: 500 fails, 401 is alive but misconfigured', async (context) => {
  let status = 500;
  const backend = await use(
    context,
    listenHttps(good, (_request, response) => response.writeHead(status).end('[-]etcd failed')),
  );
  const failed = await check(backend);
  assert.deepEqual([failed.ok, failed.detail], [false, 'status 500']);
  status = 401;
  const refused = await check(backend);
  assert.deepEqual([refused.ok, refused.refused, refused.detail], [true, true, 'status 401']);
});

test('each check has a connection and a full handshake of its own', async (context) => {
  const reused: boolean[] = [];
  const backend = await use(context, listenHttps(good));
  backend.server.on('secureConnection', (socket) => reused.push(socket.isSessionReused()));
  for (let round = 0; round < 3; round += 1) assert.equal((await check(backend)).detail, '200');
  assert.deepEqual(reused, [false, false, false]);
});

test('a listener that dies is noticed, even while its connections live', async (context) => {
  const backend = await use(context, listenHttps(good));
  assert.equal((await check(backend)).detail, '200');
  const lasting = connect(backend.port, '127.0.0.1');
  context.after(() => lasting.destroy());
  await once(lasting, 'connect');
  backend.server.close();
  assert.equal((await check(backend)).detail, 'connection refused');
});

test('a certificate that expires or changes is noticed at the next check', async (context) => {
  const backend = await use(context, listenHttps(good));
  assert.equal((await check(backend)).detail, '200');
  backend.server.setSecureContext(await ca.issue({ names: LOOPBACK, days: -1 }));
  assert.equal((await check(backend)).detail, 'certificate, or the CA that signed it, has expired');
  backend.server.setSecureContext(await ca.issue({ names: ['IP:192.0.2.1', 'DNS:localhost'] }));
  assert.equal((await check(backend)).detail, 'certificate does not name 127.0.0.1');
});

test('an IPv6 backend must be named as such', async (context) => {
  const backend = await use(
    context,
    listenHttps(await ca.issue({ names: ['IP:127.0.0.1'] }), undefined, '::1'),
  );
  assert.equal((await check(backend)).detail, 'certificate does not name ::1');
});

test('a certificate of another CA, even one of the same name, is not trusted', async (context) => {
  const pair = await otherCa.issue({ names: LOOPBACK });
  assert.equal(await detailOf(context, listenHttps(pair)), 'certificate is not signed by the CA in caFile');
  assert.equal(
    await detailOf(context, listenHttps(otherCa.pair)),
    'certificate is not signed by the CA in caFile',
  );
});

test('NODE_TLS_REJECT_UNAUTHORIZED does not turn verification off', async (context) => {
  const given = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  context.after(() => {
    if (given === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = given;
  });
  const pair = await otherCa.issue({ names: LOOPBACK });
  assert.equal(await detailOf(context, listenHttps(pair)), 'certificate is not signed by the CA in caFile');
});

test("a client's certificate is not a server's", async (context) => {
  const pair = await ca.issue({ names: LOOPBACK, usage: 'clientAuth' });
  assert.equal(await detailOf(context, listenHttps(pair)), 'certificate is not one for servers');
});

test('an intermediate CA in caFile is trusted without its root, as client-go does', async (context) => {
  const intermediate = TestCa.from(await ca.issue({ names: ['DNS:intermediate'], isCa: true }));
  const backend = await use(context, listenHttps(await intermediate.issue({ names: LOOPBACK })));
  assert.equal((await check(backend, 8000, trustOnly(intermediate.pair.cert))).detail, '200');
});

test('a server without TLS is named as such', async (context) => {
  assert.equal(
    await detailOf(
      context,
      listenTcp((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')),
    ),
    'server does not speak TLS',
  );
  const plain = createHttpServer((_request, response) => response.end('ok'));
  assert.equal(
    await detailOf(
      context,
      listenTcp((socket) => plain.emit('connection', socket)),
    ),
    'server does not speak TLS',
  );
});

test('a server without HTTP is named as such', async (context) => {
  const other = createTlsServer(good, (socket) => {
    socket.on('error', () => undefined);
    socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n');
  });
  const started = listenTcp((socket) => other.emit('connection', socket));
  assert.equal(await detailOf(context, started), 'answer is not HTTP/1.1');
});

test('a connection that is reset or closed: the detail says when', async (context) => {
  const resetAtHello = listenTcp((socket) => socket.once('data', () => socket.resetAndDestroy()));
  assert.equal(await detailOf(context, resetAtHello), 'connection reset in the TLS handshake');
  const closeAtRequest = listenHttps(good, ({ socket }) => socket.end());
  assert.equal(await detailOf(context, closeAtRequest), 'connection closed waiting for the answer');
  const closeInBody = listenHttps(good, (_request, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('o');
    setImmediate(() => response.destroy());
  });
  assert.equal(await detailOf(context, closeInBody), 'connection closed in the middle of the answer');
  const closeInChunk = listenHttps(good, (_request, response) => {
    response.write('o');
    setImmediate(() => response.destroy());
  });
  assert.equal(await detailOf(context, closeInChunk), 'connection closed in the middle of the answer');
});

test('headers without end are not read for ever', async (context) => {
  const endless = listenHttps(good, ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const more = setInterval(() => socket.write(`x-more: ${'y'.repeat(4000)}\r\n`), 1);
    socket.on('close', () => clearInterval(more));
  });
  assert.equal(await detailOf(context, endless), 'headers of the answer are too large');
});

test('a body without end is not read for ever: the status decides', async (context) => {
  const backend = await use(
    context,
    listenHttps(good, (_request, response) => {
      const more = setInterval(() => response.write('y'.repeat(1000)), 1);
      response.on('close', () => clearInterval(more));
    }),
  );
  assert.equal((await check(backend)).detail, '200');
  await allClosed(backend.sockets);
});

const TIMEOUT_MS = 300;

async function timesOut(backend: TestBackend, where: string): Promise<void> {
  const outcome = await check(backend, TIMEOUT_MS);
  assert.equal(outcome.ok, false);
  assert.equal(outcome.detail, `timeout after ${TIMEOUT_MS} ms ${where}`);
  assert.ok(outcome.durationMs >= TIMEOUT_MS - 2 && outcome.durationMs < 10 * TIMEOUT_MS);
  await allClosed(backend.sockets);
}

test('timeout: a server that accepts and says nothing', async (context) => {
  await timesOut(await use(context, listenTcp()), 'in the TLS handshake');
});

test('timeout: a server that never answers', async (context) => {
  await timesOut(
    await use(
      context,
      listenHttps(good, () => undefined),
    ),
    'waiting for the answer',
  );
});

test('timeout: a server that drips its answer, so that no idle time is ever long', async (context) => {
  const dripHeaders = listenHttps(good, ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nx-slow: ');
    const drip = setInterval(() => socket.write('y'), 20);
    socket.on('close', () => clearInterval(drip));
  });
  await timesOut(await use(context, dripHeaders), 'waiting for the answer');
  const dripBody = listenHttps(good, (_request, response) => {
    const drip = setInterval(() => response.write('y'), 20);
    response.on('close', () => clearInterval(drip));
  });
  await timesOut(await use(context, dripBody), 'in the middle of the answer');
});

test('timeout: a host that drops SYNs', async (context) => {
  // A stopped process whose accept queue is full: the kernel drops further SYNs.
  const source = `const s = require('net').createServer();
    s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port));`;
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  const fillers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  context.after(() => fillers.forEach((filler) => filler.destroy()));
  // Backlog 1 has room for two; the others stay without an answer.
  await Promise.all([once(fillers[0]!, 'connect'), once(fillers[1]!, 'connect')]);
  const outcome = await check({ address: parseIp('127.0.0.1')!, port }, TIMEOUT_MS);
  assert.equal(outcome.detail, `timeout after ${TIMEOUT_MS} ms while connecting`);
});

test('a check that is stopped ends at once and closes its connection', async (context) => {
  const backend = await use(context, listenTcp());
  const { address, port, server, sockets } = backend;
  const stopping = new AbortController();
  const running = probe({ address, port, path: '/healthz', trust, timeoutMs: 3_600_000 }, stopping.signal);
  await once(server, 'connection');
  stopping.abort();
  assert.equal((await running).ok, false);
  await allClosed(sockets);
});

/** Resolves when every connection of the backend is closed: the test runner's limit is the deadline. */
async function allClosed(sockets: ReadonlySet<Socket>): Promise<void> {
  for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
}

after(() => assert.equal(process.getActiveResourcesInfo().filter((name) => name === 'TLSWrap').length, 0));

test('a server that answers and cannot be judged is told from one that fails or is silent', async (context) => {
  const unverifiedOf = async (backend: Parameters<typeof check>[0]): Promise<boolean> =>
    (await check(backend)).unverified;
  const expired = await use(context, listenHttps(await ca.issue({ names: LOOPBACK, days: -1 })));
  const foreign = await use(context, listenHttps(await otherCa.issue({ names: LOOPBACK })));
  const nameless = await use(context, listenHttps(await ca.issue({ names: ['IP:192.0.2.1'] })));
  for (const backend of [expired, foreign, nameless]) assert.equal(await unverifiedOf(backend), true);
  for (const [status, isUnverified] of [
    [200, false],
    [302, true],
    [401, false],
    [404, true],
    [429, true],
    [500, false],
    [503, false],
  ] as const) {
    const backend = await use(
      context,
      listenHttps(good, (_request, response) => response.writeHead(status).end()),
    );
    assert.equal(await unverifiedOf(backend), isUnverified, String(status));
  }
});
