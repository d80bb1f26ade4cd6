import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { createRouterCounters } from './counters.ts';
import { KernelLease } from './kernel-lease.ts';

const VIP = parseIp('10.0.0.100')!;

/** What a release does, in order; `leaseAddress` fails with `refusal`, where there is one. */
async function release(handedOver: boolean, refusal: Error | null = null): Promise<string[]> {
  const done: string[] = [];
  const lease = new KernelLease({
    vip: VIP,
    netlink: {
      leaseAddress: async ({ validSeconds }) => {
        if (refusal !== null) throw refusal;
        done.push(`leased for ${validSeconds} s`);
      },
      removeAddress: async () => {
        done.push('removed');
        return true;
      },
    },
    counters: createRouterCounters(),
    log: (level, text) => done.push(`${level}: ${text}`),
    beforeUnbind: async () => {
      done.push('clients finished');
    },
    link: () => ({ index: 2, name: 'eth0' }),
  });
  lease.release(
    handedOver,
    () => true,
    () => done.push('end'),
  );
  await lease.released;
  return done;
}

test('an address that is handed over is kept for its clients, who are finished before it goes', async () => {
  assert.deepEqual(await release(true), ['leased for 2 s', 'clients finished', 'removed', 'end']);
});

test('one that is lost to another node gets no longer life', async () => {
  assert.deepEqual(await release(false), ['clients finished', 'removed', 'end']);
});

test('when it cannot be kept, clients have what is left of its life', async () => {
  assert.deepEqual(await release(true, new Error('no buffer space')), [
    'warn: cannot keep 10.0.0.100 on eth0 for the requests that are under way: no buffer space',
    'clients finished',
    'removed',
    'end',
  ]);
});
