import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateLine } from './state-line.ts';
import type { Status } from './status.ts';

const router: Status['virtualRouters'][number] = {
  vrid: 51,
  family: 'IPv4',
  version: 3,
  vip: '10.0.0.100',
  state: 'Backup',
  bound: false,
  priority: 254,
  sinceIso: '2026-11-23T00:00:00.000Z',
  cause: 'started',
  active: { address: '10.0.0.2', priority: 212 },
};
const status: Status = {
  version: '1.2.3',
  node: 'node-1',
  pid: 1,
  uptimeSeconds: 1,
  interface: 'eth0',
  waitingFor: null,
  class: 'A',
  drained: false,
  virtualRouters: [router],
  backends: [
    {
      id: '10.0.0.1:6443',
      local: true,
      state: 'up',
      detail: '200',
      misconfigured: false,
      connections: 3,
    },
  ],
  clients: 3,
};

test('a Backup names the holder, an Active whether it has the address', () => {
  assert.equal(
    stateLine(status).message,
    'state: 10.0.0.100 Backup, priority 254, holder 10.0.0.2; health class A; API server 10.0.0.1:6443 up (200); 3 clients',
  );
  const active = { ...router, state: 'Active' } as const;
  const messageOf = (bound: boolean): string =>
    stateLine({ ...status, virtualRouters: [{ ...active, bound }], backends: [] }).message;
  assert.equal(messageOf(true), 'state: 10.0.0.100 Active, priority 254, bound; health class A; 3 clients');
  assert.match(messageOf(false), /^state: 10\.0\.0\.100 Active, priority 254, not bound;/u);
});

test('what keeps the node out is there, for people and for programs', () => {
  const { message, fields } = stateLine({
    ...status,
    waitingFor: 'eth0',
    drained: true,
    virtualRouters: [],
    backends: [],
  });
  assert.equal(message, 'state: waiting for eth0; health class A; drained; 3 clients');
  assert.deepEqual(fields, {
    event: 'state',
    waitingFor: 'eth0',
    class: 'A',
    drained: true,
    routers: [],
    backends: [],
    clients: 3,
  });
});
