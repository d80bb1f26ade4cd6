/** What needs no privileges; e2e/lab/handover.test.ts has the rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import { freePort } from '../../testing/proxy.ts';
import { decodeHandoverNotice, encodeHandoverNotice, isHandoverNotice } from '../handover-notice.ts';
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

test('the log names the peers that did not say in time to be prepared, and no others', async (context) => {
  const [prompt, silent] = [ip('10.0.0.2'), ip('10.0.0.3')];
  const ready = encodeHandoverNotice({ vrid: 51, step: 'ready', mac: Uint8Array.of(2, 0, 0, 0, 0, 2) });
  const logged: unknown[] = [];
  const handover = new Handover({
    vrid: 51,
    services: [{ vip: ip('10.0.0.100'), port: await freePort() }],
    peers: [prompt, silent],
    interfaceName: 'lo',
    listeners: 1,
    send: () => undefined,
    log: (...entry) => logged.push(entry),
  });
  context.after(() => handover.close());
  const announced = handover.announce();
  assert.ok(handover.accept(ready, prompt, true));
  await announced;
  const text =
    '10.0.0.3 did not say within 200 ms to be prepared: requests under way are reset if it takes over';
  assert.deepEqual(logged, [['info', text, { event: 'handover_unprepared', peers: ['10.0.0.3'] }]]);
  logged.length = 0;
  const again = handover.announce();
  for (const peer of [prompt, silent]) assert.ok(handover.accept(ready, peer, true));
  await again;
  assert.deepEqual(logged, []);
});
