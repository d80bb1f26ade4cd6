import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Config } from '../config/config.ts';
import { type IpAddress, parseIp } from '../ip/address.ts';
import type { InterfaceAddress, Link, NetlinkChange } from '../net/rtnetlink-messages.ts';
import { NetlinkError } from '../net/rtnetlink.ts';
import { until } from '../testing/until.ts';
import { Election } from './election.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const VIP = ip('10.0.0.100');
const ETH0: Link = { index: 2, name: 'eth0', altNames: [], mac: null, up: true };
const onEth0 = (address: IpAddress, prefixLength: number): InterfaceAddress => ({
  linkIndex: ETH0.index,
  address,
  prefixLength,
  validSeconds: null,
  tentative: false,
});

/** An election of which nothing is started, on a kernel that says what the test has it say. */
async function openElection(context: TestContext) {
  const said: string[] = [];
  const kernel = {
    readings: 0,
    addresses: [] as InterfaceAddress[],
    notify: (_change: NetlinkChange): void => undefined,
    fail: (_error: Error): void => undefined,
  };
  const election = await Election.open({
    openNetlink: (onChange, onError) => {
      kernel.notify = onChange;
      kernel.fail = onError;
      return {
        links: () => Promise.resolve([ETH0]),
        addresses: () => {
          kernel.readings += 1;
          return Promise.resolve([...kernel.addresses]);
        },
        removeExactly: (address) => {
          const at = kernel.addresses.indexOf(address);
          if (at === -1) return Promise.resolve(false);
          kernel.addresses.splice(at, 1);
          onChange({ kind: 'addressRemoved', address });
          return Promise.resolve(true);
        },
        routes: () => Promise.resolve([]),
        leaseAddress: () => Promise.resolve(),
        removeAddress: () => Promise.resolve(false),
        close: () => undefined,
      };
    },
    config: { vips: [VIP] } as unknown as Config,
    log: (_level, message) => said.push(message),
    closeVip: () => Promise.resolve(),
    onChange: () => undefined,
    onLost: () => undefined,
  });
  context.after(() => election.close());
  return { election, kernel, said };
}

test('notifications that are lost again and again are one line, and read again each time', async (context) => {
  const { kernel, said } = await openElection(context);
  const lost = new NetlinkError('ENOBUFS', 'notifications of link and address changes were lost');
  for (let round = 1; round <= 2; round += 1) {
    for (let count = 0; count < 100; count += 1) kernel.fail(lost);
    await until(() => kernel.readings === 1 + round, 'everything to be read again');
  }
  assert.deepEqual(said, [`rtnetlink: ${lost.message}; reading links and addresses again`]);
});

test('a VIP that appears though nobody here is Active is removed each time, and told once a minute', async (context) => {
  const { kernel, said } = await openElection(context);
  const own = onEth0(ip('10.0.0.1'), 24);
  kernel.addresses.push(own);
  kernel.notify({ kind: 'addressAdded', address: own });
  for (const prefixLength of [24, 32, 24, 32]) {
    const stray = onEth0(VIP, prefixLength);
    kernel.addresses.push(stray);
    kernel.notify({ kind: 'addressAdded', address: stray });
    await until(() => !kernel.addresses.includes(stray), `the VIP with /${prefixLength} to be removed`);
  }
  assert.deepEqual(kernel.addresses, [own]);
  assert.deepEqual(
    said.map((line) => line.split(':')[0]),
    ['removed a stale VIP, 10.0.0.100/24 on eth0', 'removed a stale VIP, 10.0.0.100/32 on eth0'],
  );
});

test('a VIP whose notification was lost is found when everything is read again', async (context) => {
  const { kernel, said } = await openElection(context);
  kernel.addresses.push(onEth0(VIP, 24));
  kernel.fail(new NetlinkError('ENOBUFS', 'notifications were lost'));
  await until(() => kernel.addresses.length === 0, 'the VIP to be removed');
  assert.match(said[1] ?? '', /^removed a stale VIP/);
});
