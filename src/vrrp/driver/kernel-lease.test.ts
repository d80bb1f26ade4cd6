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
    closeVip: async () => {
      done.push('clients finished');
    },
    link: () => ({ index: 2, name: 'eth0' }),
    nowMs: () => 0,
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

/**
 * What is said of a removal at the last of `atMs`, when the address was bound at the first and renewed at the others.
 */
async function removalAfter(...atMs: readonly number[]): Promise<string> {
  let nowMs = 0;
  const lease = new KernelLease({
    vip: VIP,
    netlink: { leaseAddress: async () => undefined, removeAddress: async () => true },
    counters: createRouterCounters(),
    log: () => assert.fail('nothing fails'),
    closeVip: async () => undefined,
    link: () => ({ index: 2, name: 'eth0' }),
    nowMs: () => nowMs,
  });
  for (const [index, time] of atMs.slice(0, -1).entries()) {
    nowMs = time;
    lease.take(index === 0 ? 'bind' : 'renew', assert.fail);
    await Promise.resolve();
    await Promise.resolve();
  }
  nowMs = atMs.at(-1) ?? 0;
  return lease.describeRemoval('eth0');
}

test('an address that goes while it is renewed in time was removed by somebody else', async () => {
  const removed = '10.0.0.100 was removed from eth0 by somebody else';
  assert.equal(await removalAfter(5000, 5100), removed);
  assert.equal(await removalAfter(5000, 5250, 5500, 6499), removed);
});

test('one that was not renewed in time ran out, whether or not it was renewed before that was heard', async () => {
  const ranOut = (ms: number): string => `10.0.0.100 ran out on eth0: it was not renewed for ${ms} ms`;
  assert.equal(await removalAfter(5000, 5250, 7000), ranOut(1750));
  assert.equal(await removalAfter(5000, 5250, 7000, 7010), ranOut(1750));
  assert.equal(
    await removalAfter(5000, 5250, 7000, 7250, 8100),
    '10.0.0.100 was removed from eth0 by somebody else',
  );
});
