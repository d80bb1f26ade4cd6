import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { parseIp } from '../ip/address.ts';
import { freePort } from '../testing/proxy.ts';
import { until } from '../testing/until.ts';
import { Admin, type AdminOptions } from './admin.ts';
import { Obstacle } from './obstacle.ts';
import type { Observation } from './status.ts';

/** An admin endpoint whose daemon cannot be looked at, on a socket of its own; its lines go to `lines`. */
async function openAdmin(context: TestContext, lines: string[] = []): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-admin-'));
  const socket = join(folder, 'control.sock');
  const admin = makeAdmin({ listen: null, socket }, lines);
  await admin.listenForControl();
  context.after(async () => {
    await admin.close();
    rmSync(folder, { recursive: true });
  });
  return socket;
}

function makeAdmin(endpoints: Pick<AdminOptions, 'listen' | 'socket'>, lines: string[] = []): Admin {
  return new Admin({
    ...endpoints,
    observe: (): Observation => {
      throw new Error('nothing to see');
    },
    drain: () => null,
    undrain: () => undefined,
    connections: () => Promise.reject(new Error('the proxy does not answer')),
    log: (_, message) => lines.push(message),
  });
}

/** The first line of the answer, and its body. */
async function askRaw(socket: string, requestLine: string): Promise<{ status: string; body: string }> {
  const connection = connect(socket);
  connection.write(`${requestLine} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n`);
  const [head = '', body = ''] = (await text(connection)).split('\r\n\r\n');
  return { status: head.split('\r\n')[0] ?? '', body };
}

test('a request whose target is no URL is answered with 400, and the next one is served', async (context) => {
  const socket = await openAdmin(context);
  for (const target of ['//', 'http://', '///', 'http://[']) {
    assert.equal((await askRaw(socket, `GET ${target}`)).status, 'HTTP/1.1 400 Bad Request', target);
  }
  assert.equal((await askRaw(socket, 'POST /undrain')).status, 'HTTP/1.1 200 OK');
});

test('what fails while an answer is made is that answer, and ends nothing else', async (context) => {
  const socket = await openAdmin(context);
  for (const target of ['/status', '/metrics', '/connections']) {
    const { status, body } = await askRaw(socket, `GET ${target}`);
    assert.equal(status, 'HTTP/1.1 500 Internal Server Error', target);
    assert.match(body, /nothing to see|the proxy does not answer/);
  }
  assert.equal((await askRaw(socket, 'POST /undrain')).status, 'HTTP/1.1 200 OK');
});

test('a connection that cannot be accepted is a line of the log, not more than one a minute', async (context) => {
  const lines: string[] = [];
  const listen = context.mock.method(Server.prototype, 'listen');
  const socket = await openAdmin(context, lines);
  const server = listen.mock.calls[0]?.this as Server;
  for (let count = 0; count < 3; count += 1) server.emit('error', new Error('accept ENOBUFS'));
  assert.deepEqual(lines, [
    `the admin endpoint on ${socket} cannot accept a connection (accept ENOBUFS); it goes on`,
  ]);
  assert.equal((await askRaw(socket, 'POST /undrain')).status, 'HTTP/1.1 200 OK');
});

test('an address that another program has is an obstacle, and free again it is taken', async (context) => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as AddressInfo;
  const address = parseIp('127.0.0.1');
  assert.ok(address !== null);
  const admin = makeAdmin({ listen: { address, port }, socket: null });
  context.after(() => admin.close());
  await assert.rejects(admin.listen(), (error) => {
    assert.ok(error instanceof Obstacle);
    assert.match(
      error.message,
      new RegExp(`127.0.0.1:${port} \\(EADDRINUSE\\): end the kube-vrrp or the program`),
    );
    return true;
  });
  squatter.close();
  await once(squatter, 'close');
  await admin.listen();
});

test('an address that no interface has is an obstacle', async (context) => {
  const port = await freePort();
  // RFC 5737 and RFC 3849: for documentation.
  for (const missing of ['192.0.2.7', '2001:db8::7']) {
    const address = parseIp(missing);
    assert.ok(address !== null);
    const admin = makeAdmin({ listen: { address, port }, socket: null });
    context.after(() => admin.close());
    await assert.rejects(admin.listen(), (error) => {
      assert.ok(error instanceof Obstacle, String(error));
      assert.match(error.message, /\(EADDRNOTAVAIL\): no interface has .*: add it, or set admin\.address/u);
      return true;
    });
  }
});

/** An admin endpoint on loopback, and a request to it: status, headers and body. */
async function openOnLoopback(context: TestContext) {
  const port = await freePort();
  const address = parseIp('127.0.0.1');
  assert.ok(address !== null);
  const admin = makeAdmin({ listen: { address, port }, socket: null });
  await admin.listen();
  context.after(() => admin.close());
  const ask = (method: string, path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: 'close' } });
  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    context.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { ask, open };
}

test('a probe gets its answer however many connections are held open', async (context) => {
  const { ask, open } = await openOnLoopback(context);
  const held: Socket[] = [];
  for (let probe = 0; probe < 14; probe += 1) {
    for (let count = 0; count < 20; count += 1) held.push(await open());
    // The observation of this test fails, which is an answer too.
    assert.equal((await ask('GET', '/livez')).status, 500);
  }
  await until(() => held.filter(({ closed }) => !closed).length < 130, 'connections that rest to end');
});

test('a connection without a whole request in time ends, whatever it has sent of it', async (context) => {
  const { open } = await openOnLoopback(context);
  const sent = [
    '',
    'GET /livez HTTP/1.1\r\n',
    'POST /drain HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf',
  ];
  const sockets = await Promise.all(sent.map(() => open()));
  for (const [index, socket] of sockets.entries()) {
    socket.resume();
    if (sent[index] !== '') socket.write(sent[index] ?? '');
  }
  const areClosed = (): boolean => sockets.every(({ closed }) => closed);
  await until(areClosed, () => sockets.map(({ closed }) => closed).join(), 20_000);
});

test('HEAD is GET without the body, a slash at the end does not matter, another method is 405 with those that are allowed', async (context) => {
  const { ask } = await openOnLoopback(context);
  const [get, head] = [await ask('GET', '/livez'), await ask('HEAD', '/livez')];
  const body = await get.text();
  assert.deepEqual([get.status, head.status, await head.text()], [500, 500, '']);
  assert.equal(head.headers.get('content-length'), String(body.length));
  assert.equal((await ask('GET', '/livez/')).status, 500);
  assert.equal((await ask('GET', '/nowhere')).status, 404);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const refused = await ask(method, '/livez');
    assert.deepEqual([refused.status, refused.headers.get('allow')], [405, 'GET, HEAD'], method);
  }
});

test('what changes something takes POST alone', async (context) => {
  const socket = await openAdmin(context);
  const { status, body } = await askRaw(socket, 'GET /drain');
  assert.equal(status, 'HTTP/1.1 405 Method Not Allowed');
  assert.match(body, /\/drain takes POST only/u);
});

/** Asks for the control socket at a path where something is, and returns why that fails; null when it does not. */
async function listenAt(context: TestContext, make: (path: string) => unknown) {
  const folder = mkdtempSync(join(tmpdir(), 'kube-vrrp-admin-'));
  const path = join(folder, 'control.sock');
  await make(path);
  const before = lstatSync(path).ino;
  const admin = makeAdmin({ listen: null, socket: path });
  context.after(async () => {
    await admin.close();
    rmSync(folder, { recursive: true });
  });
  const error = await admin.listenForControl().then(
    () => null,
    (reason: unknown) => reason,
  );
  return { error, isThere: lstatSync(path).ino === before };
}

/** A socket whose program has been killed. */
function leaveSocket(path: string, mode: number): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
  spawnSync(process.execPath, ['-e', script]);
  chmodSync(path, mode);
}

for (const [kind, make] of [
  ['regular file', (path: string) => writeFileSync(path, 'precious')],
  ['directory', (path: string) => mkdirSync(path)],
  ['symbolic link', (path: string) => symlinkSync('/etc/hostname', path)],
  ['special file', (path: string) => execFileSync('mkfifo', [path])],
] as const) {
  test(`a ${kind} at the path of the control socket stays, and is a mistake`, async (context) => {
    const { error, isThere } = await listenAt(context, make);
    assert.ok(error instanceof Error && !(error instanceof Obstacle));
    assert.match(
      error.message,
      new RegExp(`^the admin endpoint cannot listen on .* \\(a ${kind} is there\\): set admin\\.socket`, 'u'),
    );
    assert.ok(isThere);
  });
}

test('a socket that a program listens on stays, and is waited for', async (context) => {
  const { error, isThere } = await listenAt(context, async (path) => {
    const other = createServer((socket) => socket.destroy()).listen(path);
    context.after(() => other.close());
    await once(other, 'listening');
  });
  assert.ok(error instanceof Obstacle, String(error));
  assert.match(error.message, /^another program listens on .*control\.sock: end it, or set admin\.socket/u);
  assert.ok(isThere);
});

test('the socket of an earlier run is replaced, and one that others may write to is not', async (context) => {
  const own = await listenAt(context, (path) => leaveSocket(path, 0o600));
  assert.equal(own.error, null);
  const strange = await listenAt(context, (path) => leaveSocket(path, 0o660));
  assert.match(String(strange.error), /the socket of another program is there/u);
  assert.ok(strange.isThere);
});
