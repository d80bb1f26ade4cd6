import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '../ip/address.ts';
import { ipFromOctets, parseIp } from '../ip/address.ts';
import {
  type ClientsMessage,
  decodeMessage,
  encodeMessage,
  MESSAGE_REJECTS,
  messageCapacity,
} from './message.ts';
import { clientKey } from './tuple.ts';

const VRID = 51;

const keyOf = (text: string, port: number): string =>
  clientKey(parseIp(text) ?? assert.fail(), port) ?? assert.fail(`${text} is no client`);

const anyKey = (family: Family): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.uint8Array({ minLength: family === 'IPv4' ? 4 : 16, maxLength: family === 'IPv4' ? 4 : 16 }),
      fc.integer({ min: 1, max: 65_535 }),
    )
    .map(([octets, port]) => clientKey(ipFromOctets(octets), port))
    .filter((key) => key !== null);

const anyMessage: fc.Arbitrary<ClientsMessage> = fc.constantFrom<Family>('IPv4', 'IPv6').chain((family) => {
  const keys = fc.array(anyKey(family), { maxLength: Math.floor(messageCapacity(family) / 2) });
  return fc.record(
    {
      family: fc.constant(family),
      vrid: fc.constant(VRID),
      sweep: fc.nat(255),
      generation: fc.nat(0xffffffff),
      sequence: fc.nat(0xffffffff),
      opened: keys,
      closed: keys,
    },
    { noNullPrototype: true },
  );
});

describe('the message among peers', () => {
  test('what is encoded is decoded, within 1200 octets', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const octets = encodeMessage(message);
        assert.ok(octets.length <= 1200);
        assert.deepEqual(decodeMessage(octets, VRID), { ok: true, message });
      }),
    );
  });

  test('its octets are these', () => {
    const message: ClientsMessage = {
      family: 'IPv4',
      vrid: VRID,
      sweep: 7,
      generation: 0x01020304,
      sequence: 5,
      opened: [keyOf('192.0.2.1', 40_000)],
      closed: [keyOf('192.0.2.2', 1)],
    };
    assert.equal(
      Buffer.from(encodeMessage(message)).toString('hex'),
      ['11043307', '01020304', '00000005', '00010001', 'c00002019c40', 'c00002020001'].join(''),
    );
  });

  test('any octets are decoded or rejected with a reason, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1300 }), (octets) => {
        const decoded = decodeMessage(octets, VRID);
        if (!decoded.ok) assert.ok(MESSAGE_REJECTS.includes(decoded.reason));
      }),
      { numRuns: 1000 },
    );
  });

  test('a message with some octets changed or missing is decoded or rejected, and never throws', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), fc.nat(255), fc.nat(1200), (message, at, octet, end) => {
        const octets = encodeMessage(message).slice();
        octets[at % octets.length] = octet;
        decodeMessage(octets.subarray(0, end), VRID);
      }),
      { numRuns: 500 },
    );
  });

  const good = encodeMessage({
    family: 'IPv4',
    vrid: VRID,
    sweep: 0,
    generation: 1,
    sequence: 1,
    opened: [keyOf('192.0.2.1', 40_000)],
    closed: [],
  });
  const changed = (at: number, ...values: number[]): Uint8Array => {
    const octets = good.slice();
    octets.set(values, at);
    return octets;
  };
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['too_short', good.subarray(0, 15)],
    ['version', changed(0, 2)],
    ['family', changed(1, 5)],
    ['vrid', changed(2, 52)],
    ['length', good.subarray(0, good.length - 1)],
    ['length', changed(12, 0xff, 0xff)],
    ['tuple', changed(16, 224)],
    ['tuple', changed(16, 127)],
    ['tuple', changed(20, 0, 0)],
  ];
  for (const [reason, octets] of cases) {
    test(`rejected as ${reason}: ${Buffer.from(octets).toString('hex')}`, () => {
      assert.deepEqual(decodeMessage(octets, VRID), { ok: false, reason });
    });
  }
});

test('no client is one that no segment can be sent to', () => {
  for (const text of [
    '0.0.0.0',
    '127.0.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'ff02::1',
    'fe80::1',
  ])
    assert.equal(clientKey(parseIp(text) ?? assert.fail(), 40_000), null, text);
  assert.equal(clientKey(parseIp('192.0.2.1') ?? assert.fail(), 0), null);
  assert.notEqual(clientKey(parseIp('2001:db8::1') ?? assert.fail(), 40_000), null);
});
