/** What needs no privileges; e2e/lab/handover.test.ts has the rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import { freePort } from '../../testing/proxy.ts';
import { decodeHandoverNotice, isHandoverNotice } from '../handover-notice.ts';
import { Handover } from './handover.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);

test('the notice is of the interface that the VIP is on now', async (context) => {
  const sent: Uint8Array[] = [];
  const handover = new Handover({
    vrid: 51,
    services: [{ vip: ip('10.0.0.100'), port: await freePort() }],
    peers: [ip('10.0.0.2')],
    interfaceName: 'gone0',
    listeners: 1,
    send: (octets) => sent.push(octets),
    log: () => undefined,
  });
  context.after(() => handover.close());
  await handover.announce();
  assert.equal(sent.length, 0, 'there is no such interface');
  handover.useInterface('lo');
  await handover.announce();
  assert.equal(sent.length, 1);
  assert.ok(isHandoverNotice(sent[0] ?? assert.fail()));
  assert.equal(decodeHandoverNotice(sent[0] ?? assert.fail(), 51), null, 'lo has no address to send to');
});
