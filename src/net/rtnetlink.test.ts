// What needs no privilege; the rest, with links of its own, is in e2e/lab/net.test.ts.
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';

import { NetlinkError, RtNetlink } from './rtnetlink.ts';

const failOnError = (error: Error): void => assert.fail(error);

describe('rtnetlink, reading', () => {
  test('links and addresses are those that the C library knows', async () => {
    const netlink = RtNetlink.open({ onChange: () => {}, onError: failOnError });
    const [links, addresses] = await Promise.all([netlink.links(), netlink.addresses()]);
    netlink.close();
    const loopback = links.find((link) => link.name === 'lo');
    assert.equal(loopback?.mac, null, 'the loopback link has no Ethernet address');
    for (const [name, entries] of Object.entries(networkInterfaces())) {
      const link = links.find((candidate) => candidate.name === name);
      for (const { address, cidr } of entries ?? []) {
        const found = addresses.find((own) => own.linkIndex === link?.index && own.address.text === address);
        assert.equal(`${found?.address.text}/${found?.prefixLength}`, cidr);
      }
    }
  });

  test('many readers at once each get a whole answer', async () => {
    const netlink = RtNetlink.open({ onChange: () => {}, onError: failOnError });
    const all = await Promise.all(Array.from({ length: 20 }, async () => (await netlink.links()).length));
    await netlink.routes(['IPv4', 'IPv6']);
    netlink.close();
    assert.ok(all.every((count) => count > 0));
  });

  test('after close, requests are refused with a code', async () => {
    const netlink = RtNetlink.open({ onChange: () => {}, onError: failOnError });
    netlink.close();
    netlink.close();
    await assert.rejects(
      netlink.links(),
      (error) => error instanceof NetlinkError && error.code === 'ECANCELED',
    );
  });
});
