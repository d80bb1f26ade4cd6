import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Config } from '../config/config.ts';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { NetlinkError } from '../net/rtnetlink.ts';
import { until } from '../testing/until.ts';
import { Election } from './election.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const VIP = ip('10.0.0.100');

/** An election of which nothing is started, on a kernel that says what the test has it say. */
async function openElection(context: TestContext) {
  const said: string[] = [];
  const kernel = { readings: 0, fail: (_error: Error): void => undefined };
  const election = await Election.open({
    openNetlink: (_onChange, onError) => {
      kernel.fail = onError;
      return {
        links: () => Promise.resolve([]),
        addresses: () => {
          kernel.readings += 1;
          return Promise.resolve([]);
        },
        defaultRouteLinkIndex: () => Promise.resolve(null),
        leaseAddress: () => Promise.resolve(),
        removeAddress: () => Promise.resolve(false),
        close: () => undefined,
      };
    },
    config: { vips: [VIP] } as unknown as Config,
    log: (_level, message) => said.push(message),
    beforeUnbind: () => Promise.resolve(),
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
