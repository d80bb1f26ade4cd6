/** On the loopback interface, where a node is its own peer. e2e/lab/takeover.test.ts has peers on other hosts. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { parseIp } from '../../ip/address.ts';
import { until } from '../../testing/until.ts';
import { PeerClients } from '../peer-clients.ts';
import { readLinkIndex } from './link-facts.ts';
import { PeerChannel } from './peer-channel.ts';

const SELF = parseIp('127.0.0.2') ?? assert.fail();
const FLOOD = 5000;
/** What the kernel has queued when it begins to turn datagrams away. */
const QUEUED = 1000;

test('what a flood in the name of a peer costs is bounded, said once, and the peer is heard again', async (t) => {
  const probe = createSocket('udp6').bind(0);
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const logged: string[] = [];
  const channel = new PeerChannel({
    self: SELF,
    peers: [SELF],
    linkIndex: () => readLinkIndex('lo'),
    vrid: 51,
    port,
    shares: [],
    known: new PeerClients(),
    onNotice: () => false,
    log: (level, message) => logged.push(`${level} ${message}`),
  });
  t.after(() => channel.close());
  const heard = (): number => channel.read().rejected.too_short;
  const all = (): number => heard() + channel.read().dropped;
  for (let sent = 0; sent < FLOOD; sent += 100) {
    for (let count = 0; count < 100; count += 1) channel.send(Uint8Array.of(1), SELF);
    await until(() => all() >= sent + 100, 'the kernel to have them all');
  }
  assert.ok(channel.read().dropped > 0 && logged.length > 0, JSON.stringify(channel.read()));
  const seconds = Math.ceil(process.uptime()) + 1;
  assert.ok(heard() <= seconds * (1000 + QUEUED), `${heard()} heard`);
  assert.deepEqual(logged, [
    `warn more than 1000 datagrams a second come from 127.0.0.2 to UDP port ${port}: the rest of each second is dropped, and with it what that peer sends about its clients`,
  ]);
  const before = heard();
  await until(() => {
    channel.send(Uint8Array.of(1), SELF);
    return heard() > before;
  }, 'the peer to be heard again');
});
