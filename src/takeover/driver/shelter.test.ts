/** What needs no privileges; e2e/lab/handover.test.ts has the rest. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type IpAddress, parseIp } from '../../ip/address.ts';
import { packetFrame } from '../../wire/frames.ts';
import { NetError } from '../../net/net-error.ts';
import { decodeHandoverNotice } from '../handover-notice.ts';
import { promptSegment } from '../segment.ts';
import { clientKey } from '../tuple.ts';
import { SHELTER_MS, Shelter, type ShelterSockets } from './shelter.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const VIP = ip('10.0.0.100');
const SERVICE = { vip: VIP, port: 36_443 };
const [HOLDER, OTHER_HOLDER] = [ip('10.0.0.1'), ip('10.0.0.3')];
const HOLDER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const OWN_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const SYN = 0x02;
const ACK = 0x10;

/** A frame of a client with one segment to the service. */
function frameOf(clientPort: number, flags: number): Uint8Array {
  const client = { vip: ip('10.0.0.50'), port: clientPort };
  const packet = promptSegment(client, clientKey(VIP, SERVICE.port) ?? assert.fail(), 0);
  packet[20 + 13] = flags;
  new DataView(packet.buffer).setUint16(2, packet.length);
  return packetFrame(OWN_MAC, HOLDER_MAC, packet);
}

/** A shelter whose sockets and time are the test's. */
function openShelter(context: TestContext, replaced: Partial<ShelterSockets> = {}) {
  context.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const kernel = {
    link: { index: 2, mac: OWN_MAC, mtuBytes: 1500 } as {
      index: number;
      mac: Uint8Array;
      mtuBytes: number;
    } | null,
    isSilent: false,
    openTaps: 0,
    tapsOpened: 0,
    incoming: [] as Uint8Array[],
    outgoing: [] as Uint8Array[],
    sendFails: null as string | null,
  };
  const answers: string[] = [];
  const logged: unknown[] = [];
  const shelter = new Shelter({
    vrid: 51,
    services: [SERVICE],
    listeners: 1,
    link: () => kernel.link,
    send: (octets, peer) => answers.push(`${decodeHandoverNotice(octets, 51)?.step} to ${peer.text}`),
    log: (level, message) => logged.push(`${level} ${message}`),
    sockets: {
      strayListener: () => {
        assert.ok(!kernel.isSilent, 'one at a time');
        kernel.isSilent = true;
        return { close: () => (kernel.isSilent = false) };
      },
      tap: () => {
        kernel.openTaps += 1;
        kernel.tapsOpened += 1;
        return {
          receive: (into) => {
            const frame = kernel.incoming.shift();
            if (frame === undefined) return null;
            into.set(frame);
            return frame.length;
          },
          send: (frame) => {
            if (kernel.sendFails !== null) throw new NetError(kernel.sendFails, 'the link is down');
            kernel.outgoing.push(frame);
          },
          close: () => (kernel.openTaps -= 1),
        };
      },
      ...replaced,
    },
  });
  context.after(() => shelter.close());
  return { shelter, kernel, answers, logged };
}

test('without a holder that leaves, the takeover begins at once', (context) => {
  const { shelter, kernel } = openShelter(context);
  let begun = 0;
  shelter.becameActive(() => (begun += 1));
  assert.equal(begun, 1);
  assert.equal(kernel.tapsOpened, 0);
});

test('a new Active passes on the segments of connections that did not begin here, and resets nothing meanwhile', (context) => {
  const { shelter, kernel, answers, logged } = openShelter(context);
  shelter.expect(HOLDER, HOLDER_MAC);
  assert.deepEqual(answers, ['ready to 10.0.0.1']);
  assert.ok(shelter.isOpen && kernel.isSilent);
  let begun = 0;
  shelter.becameActive(() => (begun += 1));
  kernel.incoming.push(frameOf(40_001, SYN), frameOf(40_001, ACK), frameOf(40_000, ACK));
  context.mock.timers.tick(1);
  assert.equal(kernel.outgoing.length, 1, 'the connection that began here stays here');
  assert.deepEqual(kernel.outgoing[0]?.subarray(0, 12), Uint8Array.of(...HOLDER_MAC, ...OWN_MAC));
  assert.equal(begun, 0);
  context.mock.timers.tick(SHELTER_MS);
  assert.deepEqual([begun, kernel.isSilent, kernel.openTaps, shelter.isOpen], [1, false, 0, false]);
  assert.deepEqual(logged, [
    'info passed 1 segments of requests in progress on to 10.0.0.1, which had handed the VIP over',
  ]);
});

test('a Backup reads no segments, and a holder that did not leave after all is waited for no longer than 3 s', (context) => {
  const { shelter, kernel } = openShelter(context);
  shelter.expect(HOLDER, HOLDER_MAC);
  kernel.incoming.push(frameOf(40_000, ACK));
  context.mock.timers.tick(2999);
  assert.ok(shelter.isOpen && kernel.isSilent);
  context.mock.timers.tick(1);
  assert.ok(!shelter.isOpen && !kernel.isSilent);
  assert.equal(kernel.outgoing.length, 0);
  assert.equal(kernel.openTaps, 0);
});

test('a notice that is repeated is answered, prolongs the wait and opens no more sockets', (context) => {
  const { shelter, kernel, answers } = openShelter(context);
  for (let count = 0; count < 3; count += 1) {
    shelter.expect(HOLDER, HOLDER_MAC);
    context.mock.timers.tick(2000);
  }
  assert.ok(shelter.isOpen);
  assert.equal(answers.length, 3);
  assert.equal(kernel.tapsOpened, 1);
});

test('another holder that leaves takes the place of the one before', (context) => {
  const { shelter, kernel, answers } = openShelter(context);
  shelter.expect(HOLDER, HOLDER_MAC);
  shelter.expect(OTHER_HOLDER, HOLDER_MAC);
  assert.deepEqual(answers, ['ready to 10.0.0.1', 'ready to 10.0.0.3']);
  assert.deepEqual([kernel.tapsOpened, kernel.openTaps, kernel.isSilent], [2, 1, true]);
});

test('a node that cannot prepare does not say that it is ready, and says why in its log', (context) => {
  const noTap = (): never => {
    throw new NetError('EPERM', 'no packet socket');
  };
  const { shelter, kernel, answers, logged } = openShelter(context, { tap: noTap });
  shelter.expect(HOLDER, HOLDER_MAC);
  assert.ok(!shelter.isOpen && !kernel.isSilent);
  assert.deepEqual(answers, []);
  assert.deepEqual(logged, [
    'warn requests in progress when 10.0.0.1 hands the VIP over will be reset: no packet socket',
  ]);
});

test('a node whose interface is gone does not say that it is ready', (context) => {
  const { shelter, kernel, answers } = openShelter(context);
  kernel.link = null;
  shelter.expect(HOLDER, HOLDER_MAC);
  assert.ok(!shelter.isOpen);
  assert.deepEqual(answers, []);
});

test('a node without a place for the stray listener does not say that it is ready, and says why in its log', (context) => {
  const noListener = (): never => {
    throw new NetError('EADDRINUSE', 'the port is not shared');
  };
  const { shelter, kernel, answers, logged } = openShelter(context, { strayListener: noListener });
  shelter.expect(HOLDER, HOLDER_MAC);
  assert.deepEqual([answers, kernel.openTaps], [[], 0]);
  assert.deepEqual(logged, [
    'warn requests in progress when 10.0.0.1 hands the VIP over will be reset: the port is not shared',
  ]);
});

test('nothing of a handover is there before a holder says that it leaves, nor after the end', (context) => {
  const { shelter, kernel } = openShelter(context);
  assert.deepEqual([kernel.isSilent, kernel.openTaps], [false, 0]);
  shelter.expect(HOLDER, HOLDER_MAC);
  shelter.close();
  assert.deepEqual([kernel.isSilent, kernel.openTaps], [false, 0]);
});

test('a link that fails meanwhile ends the shelter: resets begin again, and so does the takeover', (context) => {
  const { shelter, kernel, logged } = openShelter(context);
  shelter.expect(HOLDER, HOLDER_MAC);
  let begun = 0;
  shelter.becameActive(() => (begun += 1));
  kernel.sendFails = 'ENETDOWN';
  kernel.incoming.push(frameOf(40_000, ACK));
  context.mock.timers.tick(1);
  assert.deepEqual([begun, shelter.isOpen, kernel.isSilent, kernel.openTaps], [1, false, false, 0]);
  assert.match(String(logged[0]), /^warn stopped passing segments on to 10\.0\.0\.1/);
});

test('a link whose queue is full loses a frame, and the shelter goes on', (context) => {
  const { shelter, kernel } = openShelter(context);
  shelter.expect(HOLDER, HOLDER_MAC);
  shelter.becameActive(() => undefined);
  kernel.sendFails = 'ENOBUFS';
  kernel.incoming.push(frameOf(40_000, ACK), frameOf(40_001, ACK));
  context.mock.timers.tick(1);
  assert.ok(shelter.isOpen && kernel.isSilent);
  kernel.sendFails = null;
  kernel.incoming.push(frameOf(40_000, ACK));
  context.mock.timers.tick(1);
  assert.equal(kernel.outgoing.length, 1);
});

test('a node that leaves itself shelters no other holder: its listeners are about to close', (context) => {
  const { shelter, kernel, answers } = openShelter(context);
  shelter.close();
  shelter.expect(HOLDER, HOLDER_MAC);
  assert.deepEqual([answers, kernel.isSilent, kernel.tapsOpened, shelter.isOpen], [[], false, 0, false]);
});
