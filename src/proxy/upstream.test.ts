import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  backendsToClose,
  chooseUpstream,
  findOwnBackend,
  risenBackends,
  slowStartShare,
  withStates,
} from './upstream.ts';
import type { BackendLoad, ProxyBackend } from './upstream.ts';

type State = ProxyBackend['state'];

function backend(index: number, state: State, local = false): ProxyBackend {
  return { id: `192.0.2.${index + 1}:6443`, host: `192.0.2.${index + 1}`, port: 6443, local, state };
}

/** Load of backends with these connections, all trusted, all with a full share unless `overrides` say otherwise. */
function load(connections: readonly number[], overrides: Partial<BackendLoad> = {}): BackendLoad {
  return {
    connections: (index) => connections[index] ?? 0,
    isSuspect: () => false,
    share: () => 1,
    ...overrides,
  };
}

const arbitraryState = fc.constantFrom<State>('unknown', 'up', 'draining', 'failing', 'down');
const arbitraryCandidates = fc
  .array(fc.tuple(arbitraryState, fc.nat(5), fc.boolean(), fc.boolean(), fc.boolean()), { maxLength: 8 })
  .map((rows) => ({
    backends: rows.map(([state], index) => backend(index, state, rows[index]?.[2] ?? false)),
    connections: rows.map(([, connections]) => connections),
    isSuspect: (index: number) => rows[index]?.[4] ?? false,
    tried: rows.flatMap(([, , , isTried], index) => (isTried ? [index] : [])),
  }));

describe('chooseUpstream', () => {
  test('takes the backend with the fewest connections', () => {
    const backends = [backend(0, 'up'), backend(1, 'up'), backend(2, 'up')];
    assert.equal(chooseUpstream(backends, load([4, 2, 3]), []), 1);
  });

  test('takes the local one on ties, and the first where none is local', () => {
    const zero = load([]);
    assert.equal(chooseUpstream([backend(0, 'up'), backend(1, 'up', true)], zero, []), 1);
    assert.equal(chooseUpstream([backend(0, 'up'), backend(1, 'up')], zero, []), 0);
  });

  test('an up backend with many connections comes before a down one with none', () => {
    const backends = [backend(0, 'down', true), backend(1, 'up')];
    assert.equal(chooseUpstream(backends, load([0, 900]), []), 1);
  });

  test('fails open: without an up backend, and after all up ones, the others are tried', () => {
    const zero = load([]);
    assert.equal(chooseUpstream([backend(0, 'down'), backend(1, 'unknown', true)], zero, []), 1);
    assert.equal(chooseUpstream([backend(0, 'down'), backend(1, 'up')], zero, [1]), 0);
  });

  test('the choice is the best of what is left, by state, trust, connections, locality and place', () => {
    fc.assert(
      fc.property(arbitraryCandidates, ({ backends, connections, isSuspect, tried }) => {
        const chosen = chooseUpstream(backends, load(connections, { isSuspect }), tried);
        const order = backends
          .map((candidate, index) => ({
            index,
            rank: [
              candidate.state === 'up' ? 0 : candidate.state === 'draining' ? 1 : 2,
              isSuspect(index) ? 1 : 0,
              connections[index] ?? 0,
              candidate.local ? 0 : 1,
              index,
            ],
          }))
          .filter(({ index }) => !tried.includes(index))
          .toSorted(
            (a, b) => a.rank.map((value, key) => value - (b.rank[key] ?? 0)).find((d) => d !== 0) ?? 0,
          );
        assert.equal(chosen, order[0]?.index ?? null);
      }),
    );
  });

  test('a suspect backend comes after its equals, and before those that are not up', () => {
    const backends = [backend(0, 'up', true), backend(1, 'up'), backend(2, 'down')];
    const suspicious = load([0, 500, 0], { isSuspect: (index) => index === 0 });
    assert.equal(chooseUpstream(backends, suspicious, []), 1);
    assert.equal(chooseUpstream(backends, suspicious, [1]), 0);
    assert.equal(chooseUpstream(backends, suspicious, [0, 1]), 2);
  });

  test('a draining backend gets nobody while another is up, and everybody before those that are down', () => {
    const backends = [backend(0, 'draining', true), backend(1, 'up'), backend(2, 'down')];
    assert.equal(chooseUpstream(backends, load([0, 500, 0]), []), 1);
    assert.equal(chooseUpstream(backends, load([0, 500, 0]), [1]), 0);
  });

  test('a backend that has just returned gets its share of connections, not all of them', () => {
    const backends = [backend(0, 'up'), backend(1, 'up')];
    const share = (index: number): number => (index === 0 ? 0.1 : 1);
    assert.equal(chooseUpstream(backends, load([8, 100], { share }), []), 0);
    assert.equal(chooseUpstream(backends, load([11, 100], { share }), []), 1);
  });

  test('the share of a returned backend grows to a full one within 30 s', () => {
    assert.equal(slowStartShare(0), 0.05);
    assert.equal(slowStartShare(15_000), 0.5);
    assert.equal(slowStartShare(30_000), 1);
    assert.equal(slowStartShare(Number.POSITIVE_INFINITY), 1);
  });

  test('tries every backend exactly once before it gives up', () => {
    fc.assert(
      fc.property(arbitraryCandidates, ({ backends, connections }) => {
        const tried: number[] = [];
        for (;;) {
          const next = chooseUpstream(backends, load(connections), tried);
          if (next === null) break;
          assert.ok(!tried.includes(next));
          tried.push(next);
        }
        assert.equal(tried.length, backends.length);
      }),
    );
  });
});

describe('risenBackends', () => {
  test('names those that came up again while another stayed up', () => {
    const previous = [backend(0, 'up'), backend(1, 'down'), backend(2, 'failing'), backend(3, 'unknown')];
    const next = previous.map((_, index) => backend(index, 'up'));
    assert.deepEqual(risenBackends(previous, next), [1, 2]);
  });

  test('names none when all come up together, after an outage of etcd', () => {
    const previous = [backend(0, 'failing'), backend(1, 'failing')];
    assert.deepEqual(risenBackends(previous, [backend(0, 'up'), backend(1, 'failing')]), []);
  });
});

describe('backendsToClose', () => {
  test('names backends that came down while another is up', () => {
    const previous = [backend(0, 'up'), backend(1, 'up'), backend(2, 'failing')];
    assert.deepEqual(
      backendsToClose(previous, [backend(0, 'down'), backend(1, 'up'), backend(2, 'down')]),
      [0, 2],
    );
  });

  test('names none while no backend is up', () => {
    assert.deepEqual(
      backendsToClose([backend(0, 'up'), backend(1, 'up')], [backend(0, 'down'), backend(1, 'down')]),
      [],
    );
  });

  test('names exactly those that came down, and none unless one is up', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(arbitraryState, arbitraryState), { maxLength: 8 }),
        (states: readonly (readonly [State, State])[]) => {
          const closing = backendsToClose(
            states.map(([before], index) => backend(index, before)),
            states.map(([, after], index) => backend(index, after)),
          );
          const expected = states.some(([, after]) => after === 'up')
            ? states.flatMap(([before, after], index) =>
                before !== 'down' && after === 'down' ? [index] : [],
              )
            : [];
          assert.deepEqual(closing, expected);
        },
      ),
    );
  });
});

test('withStates changes states only, keeps the order and names ids that it does not know', () => {
  const backends = [backend(0, 'unknown', true), backend(1, 'up')];
  const result = withStates(backends, [backend(7, 'up'), backend(0, 'down')]);
  assert.deepEqual(result.backends, [backend(0, 'down', true), backend(1, 'up')]);
  assert.deepEqual(result.unknownIds, [backend(7, 'up').id]);
});

describe('findOwnBackend', () => {
  const own = new Set(['192.0.2.1', '2001:db8::1']);
  const at = (host: string, port: number, local = false): ProxyBackend => ({
    ...backend(0, 'up', local),
    host,
    port,
  });

  test('finds a backend on the port of the proxy that is local, has an address of this host, or loopback', () => {
    for (const self of [
      at('198.51.100.1', 36443, true),
      at('192.0.2.1', 36443),
      at('2001:DB8:0::1', 36443),
      at('127.0.0.9', 36443),
      at('::1', 36443),
      at('0.0.0.0', 36443),
    ]) {
      assert.equal(findOwnBackend([at('192.0.2.1', 6443, true), self], 36443, own), self);
    }
  });

  test('leaves other ports and other hosts alone', () => {
    assert.equal(findOwnBackend([at('192.0.2.1', 6443, true), at('192.0.2.2', 36443)], 36443, own), null);
  });
});
