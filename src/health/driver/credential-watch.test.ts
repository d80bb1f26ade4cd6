import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TestContext, test } from 'node:test';
import { listenHttps } from '../../testing/backend-server.ts';
import { type KeyPair, TestCa } from '../../testing/certificates.ts';
import { HealthChecker, type HealthReport } from './checker.ts';
import { readCredentials } from './credential-files.ts';
import { CredentialWatch } from './credential-watch.ts';

const LIMIT = { timeout: 30_000 };
const INTERVAL_MS = 10;
const CLIENT = { names: ['DNS:kube-vrrp'], usage: 'clientAuth' } as const;

const [oldCa, newCa] = await Promise.all([TestCa.create('old'), TestCa.create('new')]);
const [oldServer, newServer, oldClient, newClient, endingClient] = await Promise.all([
  oldCa.issue({ names: ['IP:127.0.0.1'] }),
  newCa.issue({ names: ['IP:127.0.0.1'] }),
  oldCa.issue(CLIENT),
  newCa.issue(CLIENT),
  oldCa.issue({ ...CLIENT, days: 20 }),
]);

type Line = { readonly level: string; readonly text: string };

/** An API server that lets in only clients of `clientCas`, its checker, and the watch of the checker's files. */
async function run(context: TestContext, client: KeyPair = oldClient) {
  const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-watch-'));
  context.after(() => rm(folder, { recursive: true }));
  const paths = {
    caFile: join(folder, 'ca.crt'),
    clientCertFile: join(folder, 'client.crt'),
    clientKeyFile: join(folder, 'client.key'),
  };
  // In place, and in one go: how often the watch looks meanwhile must not depend on how busy the machine is.
  const writeCa = (pem: string): void => writeFileSync(paths.caFile, pem);
  const writeClient = ({ cert, key }: KeyPair): void => {
    writeFileSync(paths.clientCertFile, cert);
    writeFileSync(paths.clientKeyFile, key);
  };
  writeCa(oldCa.pair.cert);
  writeClient(client);

  const backend = await listenHttps(oldServer);
  context.after(() => backend.close());
  /** What it shows from the next connection on, and whose clients it lets in. */
  const serve = (shown: KeyPair, ...clientCas: TestCa[]): void =>
    backend.server.setSecureContext({ ...shown, ca: clientCas.map(({ pair }) => pair.cert) });
  serve(oldServer, oldCa);
  Object.assign(backend.server, { requestCert: true, rejectUnauthorized: true });

  const reports: HealthReport[] = [];
  const transitions: string[] = [];
  const credentials = readCredentials(paths);
  const checker = new HealthChecker({
    backends: [{ address: backend.address, port: backend.port, local: true }],
    path: '/healthz',
    intervalMs: INTERVAL_MS,
    timeoutMs: 5000,
    rise: 1,
    fall: 1,
    credentials,
    onReport: (report) => reports.push(report),
    onTransition: ({ state }) => transitions.push(state),
  });
  const lines: Line[] = [];
  const watch = new CredentialWatch({
    paths,
    credentials,
    intervalMs: INTERVAL_MS,
    log: (level, text) => lines.push({ level, text }),
    onChange: (changed) => checker.useCredentials(changed),
  });
  const stop = async (): Promise<void> => {
    await watch.stop();
    await checker.stop();
  };
  context.after(stop);
  checker.start();
  watch.start();
  /** Resolves when the condition holds; the test's own time limit is the deadline. */
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await sleep(5, undefined, { signal: context.signal });
  };
  const isUp = (): boolean => reports.at(-1)?.backends[0]?.state === 'up';
  const linesWith = (words: string): Line[] => lines.filter(({ text }) => text.includes(words));
  /** A check that begins from now on has ended. */
  const nextCheck = async (): Promise<HealthReport> => {
    const count = reports.length + 2;
    await until(() => reports.length >= count);
    return reports.at(-1)!;
  };
  /** At least one look at both files begins and ends after this call: it cannot find this content without. */
  const nextLook = async (next: KeyPair): Promise<void> => {
    const count = linesWith('clientCertFile').length;
    writeClient(next);
    await until(() => linesWith('clientCertFile').length > count);
  };
  return {
    ...{ paths, backend, serve, writeCa, writeClient, isUp, lines, linesWith, nextCheck, nextLook },
    ...{ transitions, watch, stop, until },
  };
}

test(
  'a renewed client certificate is used without a restart, and no connection is left',
  LIMIT,
  async (context) => {
    const { backend, serve, writeClient, isUp, lines, nextCheck, transitions, stop, until } =
      await run(context);
    await until(isUp);
    serve(oldServer, newCa);
    await until(() => !isUp());
    writeClient(newClient);
    await until(isUp);
    await nextCheck();
    assert.deepEqual(transitions, ['up', 'down', 'up']);
    assert.deepEqual(
      lines.map(
        ({ level, text }) => `${level} ${text.replace(/ \S*\/client.crt/, '').replace(/, which.*/, '')}`,
      ),
      ['info health.clientCertFile has changed: the checks use the new one'],
    );
    await stop();
    await until(() => backend.sockets.size === 0);
  },
);

test(
  'a rotation of the CA: both in the file, then the new one alone, and no check fails',
  LIMIT,
  async (context) => {
    const { serve, writeCa, isUp, linesWith, nextCheck, transitions, until } = await run(context);
    await until(isUp);
    writeCa(oldCa.pair.cert + newCa.pair.cert);
    await until(() => linesWith('caFile').length === 1);
    await nextCheck();
    serve(newServer, oldCa);
    assert.equal((await nextCheck()).class, 'A');
    writeCa(newCa.pair.cert);
    await until(() => linesWith('caFile').length === 2);
    await nextCheck();
    assert.deepEqual(transitions, ['up']);
    serve(oldServer, oldCa);
    await until(() => !isUp());
  },
);

test(
  'a bad file keeps what is in use, is told once, and once again when it is good',
  LIMIT,
  async (context) => {
    const { writeCa, isUp, linesWith, nextCheck, nextLook, transitions, until } = await run(context);
    await until(isUp);
    const half = oldCa.pair.cert.slice(0, 300);
    writeCa(half);
    await until(() => linesWith('ca.crt').length === 1);
    for (const next of [endingClient, oldClient, endingClient, oldClient]) await nextLook(next);
    await nextCheck();
    writeCa(oldCa.pair.cert);
    await until(() => linesWith('ca.crt').length === 2);
    await nextLook(endingClient);
    const [bad, again, ...others] = linesWith('ca.crt');
    assert.equal(bad?.level, 'warn');
    assert.match(
      bad.text,
      /ca\.crt ends within a PEM block; health\.caFile must be .*; until then the checks use what was read before$/,
    );
    assert.equal(again?.level, 'info');
    assert.match(again.text, /ca\.crt is again what the checks use$/);
    assert.deepEqual(others, []);
    assert.deepEqual(transitions, ['up'], 'the checks went on');
  },
);

test(
  "a key that is not the new certificate's keeps the old pair; the right key brings the new one",
  LIMIT,
  async (context) => {
    const { paths, serve, writeClient, isUp, linesWith, nextCheck, transitions, until } = await run(context);
    await until(isUp);
    serve(oldServer, oldCa, newCa);
    writeClient({ cert: newClient.cert, key: oldClient.key });
    await until(() => linesWith('is not the private key of').length === 1);
    await nextCheck();
    assert.deepEqual(transitions, ['up']);
    writeFileSync(paths.clientKeyFile, newClient.key);
    await until(() => linesWith('has changed').length === 1);
    await nextCheck();
    serve(oldServer, newCa);
    await nextCheck();
    assert.deepEqual(transitions, ['up']);
  },
);

test(
  'a certificate that ends soon is told once a day, and its end can be asked for',
  LIMIT,
  async (context) => {
    const { writeCa, linesWith, watch, until } = await run(context, endingClient);
    await until(() => linesWith('expires on').length === 1);
    // Each is taken by another look.
    for (const pem of [oldCa.pair.cert + newCa.pair.cert, oldCa.pair.cert]) {
      const count = linesWith('health.caFile').length;
      writeCa(pem);
      await until(() => linesWith('health.caFile').length > count);
    }
    assert.deepEqual(
      linesWith('client.crt expires on').map(({ level }) => level),
      ['warn'],
    );
    const days = watch
      .expiries()
      .map(({ certificate, expiryMs }) => [certificate, Math.round((expiryMs - Date.now()) / 86_400_000)]);
    assert.deepEqual(days, [
      ['ca', 3650],
      ['client', 20],
    ]);
  },
);

test('a look that is asked for says what it found, at once', LIMIT, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'kube-vrrp-watch-'));
  context.after(() => rm(folder, { recursive: true }));
  const paths = { caFile: join(folder, 'ca.crt'), clientCertFile: null, clientKeyFile: null };
  writeFileSync(paths.caFile, oldCa.pair.cert);
  let changes = 0;
  const watch = new CredentialWatch({
    paths,
    credentials: readCredentials(paths),
    log: () => undefined,
    onChange: () => (changes += 1),
  });
  assert.equal(watch.lookAgain(), 'the certificates have not changed');
  writeFileSync(paths.caFile, newCa.pair.cert);
  assert.equal(watch.lookAgain(), 'the checks use the new certificates');
  assert.equal(changes, 1);
  writeFileSync(paths.caFile, 'half');
  assert.match(watch.lookAgain(), /ca\.crt .*: the checks use what was read before$/u);
  assert.equal(changes, 1);
});
