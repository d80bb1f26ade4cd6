import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { NodeLock } from './node-lock.ts';
import { Obstacle } from './obstacle.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
/** Abstract sockets are the host's, so runs at the same time must not meet. */
const IPV4 = ip(`10.201.${Math.floor(process.pid / 256) % 256}.${process.pid % 256}`);
const IPV6 = ip(`2001:db8::${process.pid.toString(16)}`);

const rejectsAsTaken = (taking: Promise<void>, vip: IpAddress): Promise<void> =>
  assert.rejects(taking, (error) => {
    assert.ok(error instanceof Obstacle);
    assert.equal(
      error.message,
      `another kube-vrrp on this node has the VIP ${vip.text}: end one of the two ("ss -xlp" shows the other as @kube-vrrp/${vip.text})`,
    );
    return true;
  });

test('a VIP has one lock, which is free again when it is released', async (context) => {
  const [first, second] = [new NodeLock([IPV4]), new NodeLock([IPV4])];
  context.after(() => Promise.all([first.release(), second.release()]));
  await first.take();
  await rejectsAsTaken(second.take(), IPV4);
  await first.release();
  await second.take();
});

test('two VIPs are locked together or not at all, and another VIP is free', async (context) => {
  const [ipv6, dual, ipv4] = [new NodeLock([IPV6]), new NodeLock([IPV4, IPV6]), new NodeLock([IPV4])];
  context.after(() => Promise.all([ipv6, dual, ipv4].map((lock) => lock.release())));
  await ipv6.take();
  await rejectsAsTaken(dual.take(), IPV6);
  await ipv4.take();
});
