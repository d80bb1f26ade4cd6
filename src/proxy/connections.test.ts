import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ConnectionReport, ConnectionTable } from './connections.ts';

const details = (port: number) => ({
  client: '192.0.2.1',
  clientPort: port,
  local: '192.0.2.10',
  backend: '192.0.2.2:6443',
  openedAtMs: port,
});

function tableOfPorts(): { table: ConnectionTable; followed: Set<number> } {
  const followed = new Set<number>();
  const table = new ConnectionTable({
    opened: ({ clientPort }) => {
      assert.ok(!followed.has(clientPort), 'opened twice');
      followed.add(clientPort);
    },
    closed: ({ clientPort }) => assert.ok(followed.delete(clientPort)),
  });
  return { table, followed };
}

describe('what a worker reports', () => {
  test('nothing while nothing changes', () => {
    const report = new ConnectionReport<number>();
    assert.equal(report.take(), null);
    report.opens(1, details(1));
    assert.equal(report.take()?.opened.length, 1);
    assert.equal(report.take(), null);
  });

  test('bytes with the end of a connection, and nothing for one that never opened', () => {
    const report = new ConnectionReport<number>();
    report.opens(1, details(1));
    report.closes(1, { ending: 'finished', bytesToBackend: 10, bytesToClient: 20 });
    report.closes(2, { ending: 'finished', bytesToBackend: 1, bytesToClient: 1 });
    assert.deepEqual(report.take()?.closed, [
      { id: 1, ending: 'finished', bytesToBackend: 10, bytesToClient: 20 },
    ]);
  });

  test('after more changes than it keeps, a complete list instead', () => {
    const report = new ConnectionReport<number>();
    const { table, followed } = tableOfPorts();
    report.opens(0, details(0));
    table.apply(0, report.take() ?? assert.fail());
    for (let port = 1; port <= 20_000; port += 1) report.opens(port, details(port));
    for (let port = 0; port <= 19_990; port += 1)
      report.closes(port, { ending: 'finished', bytesToBackend: 0, bytesToClient: 0 });
    const batch = report.take() ?? assert.fail();
    assert.equal(batch.complete, true);
    assert.equal(batch.opened.length, 10);
    table.apply(0, batch);
    assert.deepEqual(
      [...followed],
      [19_991, 19_992, 19_993, 19_994, 19_995, 19_996, 19_997, 19_998, 19_999, 20_000],
    );
  });

  test('a port that a client uses again within a batch is open in the end', () => {
    const report = new ConnectionReport<number>();
    const { table, followed } = tableOfPorts();
    report.opens(1, details(7));
    report.closes(1, { ending: 'finished', bytesToBackend: 0, bytesToClient: 0 });
    report.opens(2, details(7));
    table.apply(0, report.take() ?? assert.fail());
    assert.deepEqual([...followed], [7]);
    report.closes(2, { ending: 'finished', bytesToBackend: 0, bytesToClient: 0 });
    report.opens(3, details(7));
    table.apply(0, report.take() ?? assert.fail());
    assert.deepEqual([...followed], [7]);
  });

  test('whatever happens in whatever batches, who follows the table ends up with what is open', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('open' as const), key: fc.nat(20) }),
      fc.record({ kind: fc.constant('close' as const), key: fc.nat(20) }),
      fc.record({ kind: fc.constant('take' as const), key: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const report = new ConnectionReport<number>();
        const { table, followed } = tableOfPorts();
        const open = new Set<number>();
        const flush = (): void => {
          const batch = report.take();
          if (batch !== null) table.apply(0, batch);
        };
        for (const { kind, key } of steps) {
          if (kind === 'take') flush();
          else if (kind === 'open' && !open.has(key)) {
            open.add(key);
            report.opens(key, details(key));
          } else if (kind === 'close') {
            open.delete(key);
            report.closes(key, { ending: 'finished', bytesToBackend: 0, bytesToClient: 0 });
          }
        }
        flush();
        assert.deepEqual(followed, open);
      }),
    );
  });
});
