import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type IpAddress, ipFromOctets, parseIp } from '../ip/address.ts';
import {
  type Advertisement,
  type Envelope,
  decodeAdvertisement,
  encodeAdvertisement,
} from './advertisement.ts';
import { type ChecksumForm, vrrpChecksum } from './checksum.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(`not an address: ${text}`);
const octets = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const envelope = (source: string, destination: string, ttl = 255): Envelope => ({
  family: ip(source).family,
  source: ip(source),
  destination: ip(destination),
  ttl,
});
const none = { type: 'none' } as const;

/** Sent by Debian's keepalived 2.2.7 between two network namespaces, one row for each kind of packet it sends. */
const KEEPALIVED: readonly {
  readonly name: string;
  readonly hex: string;
  readonly envelope: Envelope;
  readonly advertisement: Advertisement;
  readonly form: ChecksumForm;
}[] = [
  {
    name: 'version 2 without authentication',
    hex: '2133960100013e5d0a0900640000000000000000',
    envelope: envelope('10.9.0.1', '224.0.0.18'),
    advertisement: {
      version: 2,
      vrid: 51,
      priority: 150,
      advertisementIntervalMs: 1000,
      addresses: [ip('10.9.0.100')],
      authentication: none,
    },
    form: 'message',
  },
  {
    name: 'version 2, priority 0 at stop',
    hex: '213300010001d45d0a0900640000000000000000',
    envelope: envelope('10.9.0.1', '224.0.0.18'),
    advertisement: {
      version: 2,
      vrid: 51,
      priority: 0,
      advertisementIntervalMs: 1000,
      addresses: [ip('10.9.0.100')],
      authentication: none,
    },
    form: 'message',
  },
  {
    name: 'version 2 with a password',
    hex: '213396010101c50c0a0900646b38737669703031',
    envelope: envelope('10.9.0.1', '224.0.0.18'),
    advertisement: {
      version: 2,
      vrid: 51,
      priority: 150,
      advertisementIntervalMs: 1000,
      addresses: [ip('10.9.0.100')],
      authentication: { type: 'pass', password: 'k8svip01' },
    },
    form: 'message',
  },
  {
    name: 'version 3, multicast',
    hex: '31339601006443610a090064',
    envelope: envelope('10.9.0.1', '224.0.0.18'),
    advertisement: {
      version: 3,
      vrid: 51,
      priority: 150,
      advertisementIntervalMs: 1000,
      addresses: [ip('10.9.0.100')],
      authentication: none,
    },
    form: 'pseudo-header',
  },
  {
    name: 'version 3, unicast',
    hex: '31339601000a19c30a090064',
    envelope: envelope('10.9.0.1', '10.9.0.2'),
    advertisement: {
      version: 3,
      vrid: 51,
      priority: 150,
      advertisementIntervalMs: 100,
      addresses: [ip('10.9.0.100')],
      authentication: none,
    },
    form: 'pseudo-header',
  },
  {
    name: 'version 3, IPv6, priority 0',
    hex: '3133000200326710fe800000000000000000000000000100fd000000000000000000000000000100',
    envelope: envelope('fe80::886f:c3ff:fed1:2097', 'ff02::12'),
    advertisement: {
      version: 3,
      vrid: 51,
      priority: 0,
      advertisementIntervalMs: 500,
      addresses: [ip('fe80::100'), ip('fd00::100')],
      authentication: none,
    },
    form: 'pseudo-header',
  },
];

describe('packets captured from keepalived 2.2.7', () => {
  for (const vector of KEEPALIVED) {
    test(`decodes ${vector.name}`, () => {
      assert.deepEqual(decodeAdvertisement(octets(vector.hex), vector.envelope), {
        ok: true,
        advertisement: vector.advertisement,
        checksumForm: vector.form,
      });
    });
    test(`encodes ${vector.name} to the same octets`, () => {
      const encoded = encodeAdvertisement(vector.advertisement, vector.envelope, vector.form);
      assert.equal(Buffer.from(encoded).toString('hex'), vector.hex);
    });
  }
});

describe('RFC 9568 7.1: the receive ladder names the first reason', () => {
  const good = '31339601006443610a090064';
  const multicast = envelope('10.9.0.1', '224.0.0.18');
  const rows: readonly [string, string, Envelope, string][] = [
    ['TTL is not 255', good, { ...multicast, ttl: 254 }, 'ttl'],
    ['shorter than the fixed fields', good.slice(0, 14), multicast, 'truncated'],
    ['empty', '', multicast, 'truncated'],
    ['version 4', `4${good.slice(1)}`, multicast, 'version'],
    ['version 2 over IPv6', `2${good.slice(1)}`, envelope('fe80::1', 'ff02::12'), 'version'],
    ['type 2', `32${good.slice(2)}`, multicast, 'type'],
    ['VRID 0', `3100${good.slice(4)}`, multicast, 'vrid_zero'],
    ['no address', '313396000064', multicast, 'truncated'],
    ['address count 0 (5.2.5)', '3133960000644361', multicast, 'address_count'],
    ['address count says more than there is', '31339602006443610a090064', multicast, 'truncated'],
    ['octets after the message', `${good}00`, multicast, 'length'],
    ['Max Advertise Interval 0 (5.2.7)', '31339601000043610a090064', multicast, 'interval'],
    [
      'version 2, unknown authentication type',
      '2133960102013e5d0a0900640000000000000000',
      multicast,
      'authentication_type',
    ],
    ['a flipped bit', '31339701006443610a090064', multicast, 'checksum'],
    ['from another source than the checksum covers', good, envelope('10.9.0.3', '224.0.0.18'), 'checksum'],
  ];
  for (const [name, hex, where, reason] of rows) {
    test(`${name}: ${reason}`, () => {
      assert.deepEqual(decodeAdvertisement(octets(hex), where), { ok: false, reason });
    });
  }
});

test('RFC 9568 5.2.8: an IPv4 checksum over the message alone is accepted too, and told apart', () => {
  const where = envelope('10.9.0.1', '224.0.0.18');
  const sent = KEEPALIVED[3]?.advertisement ?? assert.fail();
  const result = decodeAdvertisement(encodeAdvertisement(sent, where, 'message'), where);
  assert.deepEqual(result, { ok: true, advertisement: sent, checksumForm: 'message' });
});

test('RFC 9568 5.2.6: Reserve is zero when sent, and ignored when received', () => {
  const where = envelope('10.9.0.1', '224.0.0.18');
  const sent = KEEPALIVED[3]?.advertisement ?? assert.fail();
  const message = encodeAdvertisement(sent, where, 'pseudo-header');
  assert.equal((message[4] ?? 0) >> 4, 0);
  message[4] = (message[4] ?? 0) | 0xf0;
  const sum = vrrpChecksum(message, where);
  message.set([sum >> 8, sum & 0xff], 6);
  const result = decodeAdvertisement(message, where);
  assert.deepEqual(result.ok && result.advertisement, sent);
});

test('RFC 3768 5.3.10: authentication data without a type is zero when sent, and ignored when received', () => {
  const where = envelope('10.9.0.1', '224.0.0.18');
  const sent = KEEPALIVED[0]?.advertisement ?? assert.fail();
  const message = encodeAdvertisement(sent, where, 'message');
  assert.deepEqual([...message.subarray(-8)], [0, 0, 0, 0, 0, 0, 0, 0]);
  message.fill(0x5a, -8);
  const sum = vrrpChecksum(message, null);
  message.set([sum >> 8, sum & 0xff], 6);
  const result = decodeAdvertisement(message, where);
  assert.deepEqual(result.ok && result.advertisement, sent);
});

test('RFC 9568 5.2.8: an IPv4 checksum is over the message alone where that is asked for', () => {
  const where = envelope('10.9.0.1', '224.0.0.18');
  const sent = KEEPALIVED[3]?.advertisement ?? assert.fail();
  const message = encodeAdvertisement(sent, where, 'message');
  assert.equal(((message[6] ?? 0) << 8) | (message[7] ?? 0), vrrpChecksum(message, null));
});

test('RFC 8200 8.1: an IPv6 checksum always covers the pseudo-header', () => {
  const where = envelope('fe80::1', 'ff02::12');
  const sent: Advertisement = {
    version: 3,
    vrid: 1,
    priority: 1,
    advertisementIntervalMs: 10,
    addresses: [ip('fd00::1')],
    authentication: none,
  };
  const result = decodeAdvertisement(encodeAdvertisement(sent, where, 'message'), where);
  assert.equal(result.ok && result.checksumForm, 'pseudo-header');
});

const address4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromOctets);
const address6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipFromOctets);
const common = { vrid: fc.integer({ min: 1, max: 255 }), priority: fc.integer({ min: 0, max: 255 }) };
const version3 = (addresses: fc.Arbitrary<IpAddress[]>): fc.Arbitrary<Advertisement> =>
  fc.record({
    version: fc.constant(3 as const),
    ...common,
    advertisementIntervalMs: fc.integer({ min: 1, max: 4095 }).map((centiseconds) => centiseconds * 10),
    addresses,
    authentication: fc.constant(none),
  });
const version2: fc.Arbitrary<Advertisement> = fc.record({
  version: fc.constant(2 as const),
  ...common,
  advertisementIntervalMs: fc.integer({ min: 1, max: 255 }).map((seconds) => seconds * 1000),
  addresses: fc.array(address4, { minLength: 1, maxLength: 20 }),
  authentication: fc.oneof(
    fc.constant(none),
    fc.stringMatching(/^[!-~]{1,8}$/).map((password) => ({ type: 'pass' as const, password })),
  ),
});
const sent4 = fc.record({
  advertisement: fc.oneof(version2, version3(fc.array(address4, { minLength: 1, maxLength: 255 }))),
  source: address4,
  destination: address4,
});
const sent6 = fc.record({
  advertisement: version3(fc.array(address6, { minLength: 1, maxLength: 80 })),
  source: address6,
  destination: address6,
});

test('whatever is encoded is decoded to the same advertisement', () => {
  fc.assert(
    fc.property(
      fc.oneof(sent4, sent6),
      fc.constantFrom<ChecksumForm>('pseudo-header', 'message'),
      (sent, form) => {
        const where: Envelope = {
          family: sent.source.family,
          source: sent.source,
          destination: sent.destination,
          ttl: 255,
        };
        const result = decodeAdvertisement(encodeAdvertisement(sent.advertisement, where, form), where);
        assert.ok(result.ok);
        assert.deepEqual(result.advertisement, { ...sent.advertisement });
      },
    ),
  );
});

test('random octets never throw and always get a verdict', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.oneof(address4, address6), (message, source) => {
      const result = decodeAdvertisement(message, {
        family: source.family,
        source,
        destination: source,
        ttl: 255,
      });
      assert.ok(result.ok || result.reason.length > 0);
    }),
    { numRuns: 2000 },
  );
});

test('captured packets, cut, lengthened or with any octets changed, never throw and always get a verdict', () => {
  const damage = fc.record({
    vector: fc.constantFrom(...KEEPALIVED),
    cut: fc.nat({ max: 50 }),
    tail: fc.uint8Array({ maxLength: 5000 }),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 8 }),
  });
  fc.assert(
    fc.property(damage, ({ vector, cut, tail, changes }) => {
      const whole = octets(vector.hex);
      const message = Uint8Array.from([...whole.subarray(0, Math.max(0, whole.length - cut)), ...tail]);
      for (const [place, octet] of changes) if (message.length > 0) message[place % message.length] = octet;
      const result = decodeAdvertisement(message, vector.envelope);
      if (result.ok) assert.ok(result.advertisement.addresses.length > 0);
      else assert.ok(result.reason.length > 0);
    }),
    { numRuns: 3000 },
  );
});

test('a captured packet with one octet changed is never taken for another advertisement', () => {
  const vectors = fc.constantFrom(...KEEPALIVED);
  fc.assert(
    fc.property(vectors, fc.nat(), fc.integer({ min: 1, max: 255 }), (vector, place, change) => {
      const message = octets(vector.hex);
      const index = place % message.length;
      message[index] = (message[index] ?? 0) ^ change;
      assert.equal(decodeAdvertisement(message, vector.envelope).ok, false);
    }),
    { numRuns: 2000 },
  );
});
