import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { monotonicMs } from '../../runtime/clock.ts';
import { type TestBackend, listenHttps, listenTcp } from '../../testing/backend-server.ts';
import { TestCa } from '../../testing/certificates.ts';
import { HealthChecker, type HealthCheckerOptions, type HealthReport } from './checker.ts';

const ca = await TestCa.create();
const pair = await ca.issue({ names: ['IP:127.0.0.1'] });
const LIMIT = { timeout: 20_000 };

type Run = {
  readonly checker: HealthChecker;
  readonly reports: readonly HealthReport[];
  /** `previous -> state` */
  readonly transitions: readonly string[];
  /** The next report that satisfies the condition, after the one that the last call found. */
  readonly report: (condition: (report: HealthReport) => boolean) => Promise<HealthReport>;
};

/** A started checker of backends, the first of which is the local one; stopped when the test is over. */
function run(
  context: TestContext,
  backends: readonly TestBackend[],
  options: Partial<HealthCheckerOptions> = {},
): Run {
  const reports: HealthReport[] = [];
  const transitions: string[] = [];
  const waiting = new Set<() => void>();
  const checker = new HealthChecker({
    backends: backends.map(({ address, port }, index) => ({ address, port, local: index === 0 })),
    path: '/healthz',
    intervalMs: 20,
    timeoutMs: 5000,
    rise: 2,
    fall: 3,
    credentials: { ca: { pem: ca.pair.cert, periods: [] }, client: null },
    onReport: (report) => {
      reports.push(report);
      for (const look of waiting) look();
    },
    onTransition: (backend, previous) => transitions.push(`${previous} -> ${backend.state}`),
    ...options,
  });
  context.after(() => checker.stop());
  checker.start();
  let seen = 0;
  const report: Run['report'] = (condition) =>
    new Promise((resolve) => {
      const look = (): void => {
        for (; seen < reports.length; seen += 1) {
          const each = reports[seen];
          if (each === undefined || !condition(each)) continue;
          seen += 1;
          waiting.delete(look);
          resolve(each);
          return;
        }
      };
      waiting.add(look);
      look();
    });
  return { checker, reports, transitions, report };
}

async function use<Backend extends TestBackend>(
  context: TestContext,
  started: Promise<Backend>,
): Promise<Backend> {
  const backend = await started;
  context.after(() => backend.close());
  return backend;
}

test(
  'the first round is a barrier: class C and unsettled until every backend has had its check',
  LIMIT,
  async (context) => {
    const healthy = await use(context, listenHttps(pair));
    const hung = await use(context, listenTcp());
    const { report, reports, transitions } = run(context, [healthy, hung], { timeoutMs: 400 });
    const settled = await report((each) => each.settled);
    assert.equal(settled.class, 'A');
    assert.equal(settled.confirmedAtMs, 0, 'one good check does not outlast a shared outage');
    assert.deepEqual(
      settled.backends.map(({ state, local }) => [state, local]),
      [
        ['up', true],
        ['down', false],
      ],
    );
    const before = reports.slice(0, reports.indexOf(settled));
    assert.ok(before.length > 0);
    for (const each of before) {
      assert.deepEqual([each.settled, each.class, each.confirmedAtMs], [false, 'C', 0]);
      assert.deepEqual(
        each.backends.map(({ state }) => state),
        ['up', 'unknown'],
      );
    }
    assert.deepEqual(transitions, ['unknown -> up', 'unknown -> down']);
  },
);

test("a slow backend does not delay another's checks", LIMIT, async (context) => {
  const healthy = await use(context, listenHttps(pair));
  const hung = await use(context, listenTcp());
  // The hung check would last longer than this test may.
  const { reports, report } = run(context, [healthy, hung], { timeoutMs: 3_600_000 });
  await report(() => reports.length >= 5);
  assert.equal(reports.at(-1)?.settled, false);
});

test('at most one check of a backend is in flight, however slow it is', LIMIT, async (context) => {
  let running = 0;
  let most = 0;
  const slow = await use(
    context,
    listenHttps(pair, (_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end('ok');
      }, 100);
    }),
  );
  const { reports, report } = run(context, [slow], { intervalMs: 10 });
  await report(() => reports.length >= 4);
  assert.equal(most, 1);
});

test(
  'the local backend fails, then recovers: fall and rise are counted in checks',
  LIMIT,
  async (context) => {
    let status = 200;
    const local = await use(
      context,
      listenHttps(pair, (_request, response) => response.writeHead(status).end()),
    );
    const peer = await use(context, listenHttps(pair));
    const { report, reports, transitions } = run(context, [local, peer], { rise: 2, fall: 3 });
    await report((each) => each.class === 'A');
    status = 500;
    await report((each) => each.class === 'B');
    status = 200;
    await report((each) => each.class === 'A');
    assert.deepEqual(transitions, ['unknown -> up', 'unknown -> up', 'up -> down', 'down -> up']);
    // Each check of the local backend once; others' reports in between repeat it.
    const checks = new Map(
      reports.map(({ backends: [backend] }) => [
        backend?.lastCheck?.atMs,
        `${backend?.lastCheck?.detail} ${backend?.state}`,
      ]),
    );
    const story = [...checks.values()].filter((line) => line !== '200 up' && line !== 'status 500 down');
    assert.deepEqual(
      story.filter((line) => !line.startsWith('undefined')),
      ['status 500 up', 'status 500 up', '200 down'],
    );
  },
);

test('confirmedAtMs is when the confirming check began, not when it was answered', LIMIT, async (context) => {
  const askedMs: number[] = [];
  const slow = await use(
    context,
    listenHttps(pair, (_request, response) => {
      askedMs.push(monotonicMs());
      setTimeout(() => response.end('ok'), 50);
    }),
  );
  const { report } = run(context, [slow], { intervalMs: 200, timeoutMs: 100, rise: 1 });
  const { confirmedAtMs } = await report((each) => each.confirmedAtMs > 0);
  // The check before was answered 50 ms after it was asked, and the next is asked 150 ms after that.
  assert.ok(askedMs.some((ms) => ms > confirmedAtMs && ms - confirmedAtMs < 50));
});

test('a server that refuses the check is up', LIMIT, async (context) => {
  const refusing = await use(
    context,
    listenHttps(pair, (_request, response) => response.writeHead(403).end()),
  );
  const { report } = run(context, [refusing]);
  const settled = await report((each) => each.settled);
  assert.equal(settled.class, 'A');
  assert.deepEqual(
    settled.backends.map(({ state, lastCheck }) => [state, lastCheck?.detail]),
    [['up', 'status 403']],
  );
});

test(
  'stop ends the check in flight and closes its connection; no callback comes after it',
  LIMIT,
  async (context) => {
    const healthy = await use(context, listenHttps(pair));
    const hung = await use(context, listenTcp());
    const { checker, reports, report, transitions } = run(context, [healthy, hung], { timeoutMs: 3_600_000 });
    await report(() => hung.sockets.size === 1);
    const count = reports.length;
    await checker.stop();
    for (const socket of hung.sockets) await once(socket, 'close');
    assert.equal(reports.length, count);
    assert.deepEqual(transitions, ['unknown -> up']);
  },
);

test('stop from within a callback: nothing more is called', LIMIT, async (context) => {
  const healthy = await use(context, listenHttps(pair));
  const told = Promise.withResolvers<void>();
  const { checker, reports } = run(context, [healthy], { onTransition: () => told.resolve(checker.stop()) });
  await told.promise;
  assert.deepEqual(reports, []);
});

test('many backends: no warning of leaking listeners', LIMIT, async (context) => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): unknown => warnings.push(name);
  process.on('warning', onWarning);
  context.after(() => process.off('warning', onWarning));
  const healthy = await use(context, listenHttps(pair));
  const { report } = run(
    context,
    Array.from({ length: 16 }, () => healthy),
  );
  await report((each) => each.settled);
  await report(() => true);
  assert.deepEqual(warnings, []);
});

test('asked to check now, it checks every backend without waiting for its rhythm', LIMIT, async (context) => {
  const backend = await use(context, listenHttps(pair));
  const { checker, report } = run(context, [backend], { intervalMs: 600_000 });
  await report(({ settled }) => settled);
  checker.checkNow();
  await report(({ backends }) => backends[0]?.lastCheck?.ok === true);
});
