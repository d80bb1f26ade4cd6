import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionDetail } from '../proxy/connections.ts';
import type { ProxyCommand } from '../proxy/driver/messages.ts';
import { ConnectionLists } from './connection-lists.ts';

function detail(id: number): ConnectionDetail {
  const counts = { bytesToBackend: 1, bytesToClient: 2, state: 'open', idleMs: 3 } as const;
  const addresses = { client: '192.0.2.1', clientPort: id, local: '192.0.2.10', backend: '192.0.2.2:6443' };
  return { id, ...addresses, openedAtMs: 4, ...counts };
}

function threads(count: number): { readonly asked: number[]; postMessage(command: ProxyCommand): void }[] {
  return Array.from({ length: count }, () => {
    const asked: number[] = [];
    return {
      asked,
      postMessage: (command) => {
        if (command.type === 'listConnections') asked.push(command.request);
      },
    };
  });
}

test('the pieces of all threads become one list, and pieces of another request do not get in', async () => {
  const lists = new ConnectionLists();
  const ports = threads(2);
  const answer = lists.ask(ports);
  const [request = -1] = ports[0]?.asked ?? [];
  assert.deepEqual(ports[1]?.asked, [request]);
  const piece = (connections: readonly ConnectionDetail[], of = request): void =>
    lists.take({ type: 'connectionList', request: of, connections });
  piece([detail(1)]);
  piece([detail(9)], request + 1);
  piece([detail(2)]);
  piece([]);
  piece([detail(3)]);
  piece([]);
  assert.deepEqual(
    (await answer).map(({ id }) => id),
    [1, 2, 3],
  );
});

test('a thread that does not answer is left out', async () => {
  const lists = new ConnectionLists();
  const ports = threads(2);
  const answer = lists.ask(ports);
  const [request = -1] = ports[0]?.asked ?? [];
  lists.take({ type: 'connectionList', request, connections: [detail(1)] });
  lists.take({ type: 'connectionList', request, connections: [] });
  assert.equal((await answer).length, 1);
});

test('without threads there are no connections', async () => {
  assert.deepEqual(await new ConnectionLists().ask([]), []);
});
