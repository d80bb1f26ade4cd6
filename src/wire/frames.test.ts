import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { type IpAddress, ipFromOctets, parseIp } from '../ip/address.ts';
import {
  arpClaim,
  arpQuestion,
  formatMac,
  gratuitousArp,
  neighborClaim,
  neighborSolicitation,
  unsolicitedNeighborAdvertisement,
} from './frames.ts';
import { readIpv4Header } from './ip.ts';

// Debian's keepalived 2.2.7, captured between two network namespaces.
const KEEPALIVED_MAC = hex('8a6fc3d12097');
const KEEPALIVED_GARP = hex(
  'ffffffffffff8a6fc3d12097080600010800060400018a6fc3d120970a090064ffffffffffff0a090064',
);
const KEEPALIVED_ARP_QUESTION = hex(
  'ffffffffffff8a6fc3d12097080600010800060400018a6fc3d120970a0900010000000000000a090002',
);
const KEEPALIVED_NA_LINK_LOCAL = hex(
  '3333000000018a6fc3d1209786dd6000000000203afffe800000000000000000000000000100ff020000000000000000000000000001' +
    '8800e8c520000000fe80000000000000000000000000010002018a6fc3d12097',
);
const KEEPALIVED_NA_GLOBAL = hex(
  '3333000000018a6fc3d1209786dd6000000000203afffd000000000000000000000000000100ff020000000000000000000000000001' +
    '8800ebc520000000fd00000000000000000000000000010002018a6fc3d12097',
);
const KEEPALIVED_V3 = hex(
  '01005e0000128a6fc3d12097080045c0002000010000ff70d0900a090001e000001231339601006443610a090064',
);
const KEEPALIVED_V6 = hex(
  '3333000000128a6fc3d1209786dd6c0fbe3b002870fffe80000000000000886fc3fffed12097ff020000000000000000000000000012' +
    '313396020032d10ffe800000000000000000000000000100fd000000000000000000000000000100',
);

describe('announcements', () => {
  test('gratuitous ARP is the request that keepalived sends, octet for octet', () => {
    assert.deepEqual(gratuitousArp(KEEPALIVED_MAC, ip('10.9.0.100')), KEEPALIVED_GARP);
  });

  test('the unsolicited neighbor advertisement is the one that keepalived sends, octet for octet', () => {
    assert.deepEqual(
      unsolicitedNeighborAdvertisement(KEEPALIVED_MAC, ip('fe80::100'), false),
      KEEPALIVED_NA_LINK_LOCAL,
    );
    assert.deepEqual(
      unsolicitedNeighborAdvertisement(KEEPALIVED_MAC, ip('fd00::100'), false),
      KEEPALIVED_NA_GLOBAL,
    );
  });

  test('RFC 4861 7.2.6: a router sets Router and Override, never Solicited, and the checksum follows', () => {
    const frame = unsolicitedNeighborAdvertisement(KEEPALIVED_MAC, ip('fd00::100'), true);
    assert.equal(frame[58], 0xa0);
    assert.deepEqual(neighborClaim(frame, ip('fd00::100')), KEEPALIVED_MAC);
  });
});

describe('questions', () => {
  test('ARP with a sender is the request of the kernel in the capture', () => {
    assert.deepEqual(arpQuestion(KEEPALIVED_MAC, ip('10.9.0.1'), ip('10.9.0.2')), KEEPALIVED_ARP_QUESTION);
  });

  test('RFC 5227 2.1.1: an ARP Probe has sender address 0.0.0.0 and target hardware address zero', () => {
    const frame = arpQuestion(KEEPALIVED_MAC, null, ip('10.9.0.2'));
    assert.equal(
      Buffer.from(frame).toString('hex'),
      'ffffffffffff8a6fc3d12097080600010800060400018a6fc3d12097000000000000000000000a090002',
    );
  });

  test('RFC 4862 5.4.2: a solicitation without sender is unspecified and carries no option', () => {
    const frame = neighborSolicitation(KEEPALIVED_MAC, null, ip('fd00::1234:5678'));
    assert.equal(frame.length, 14 + 40 + 24);
    assert.equal(
      Buffer.from(frame.subarray(0, 54)).toString('hex'),
      '3333ff3456788a6fc3d1209786dd6000000000183aff' +
        '00000000000000000000000000000000ff0200000000000000000001ff345678',
    );
    assert.equal(Buffer.from(frame.subarray(62)).toString('hex'), 'fd000000000000000000000012345678');
    assert.equal(onesComplementSum(frame), 0xffff);
  });

  test('RFC 4861 4.3: a solicitation from a sender carries its link-layer address', () => {
    const frame = neighborSolicitation(KEEPALIVED_MAC, ip('fe80::1'), ip('fd00::100'));
    assert.equal(Buffer.from(frame.subarray(78)).toString('hex'), '01018a6fc3d12097');
    assert.equal(onesComplementSum(frame), 0xffff);
  });
});

describe('claims', () => {
  test('RFC 5227 2.1.1: any ARP packet whose sender is the address claims it, reply or request', () => {
    const reply = KEEPALIVED_GARP.slice();
    reply[21] = 2;
    assert.deepEqual(arpClaim(reply, ip('10.9.0.100')), KEEPALIVED_MAC);
    assert.deepEqual(arpClaim(KEEPALIVED_GARP, ip('10.9.0.100')), KEEPALIVED_MAC);
    assert.equal(arpClaim(KEEPALIVED_GARP, ip('10.9.0.101')), null);
    assert.equal(arpClaim(KEEPALIVED_ARP_QUESTION, ip('10.9.0.2')), null, 'asking is not claiming');
  });

  test('RFC 4861 7.1.2: an advertisement claims its target only if every check passes', () => {
    const address = ip('fd00::100');
    assert.deepEqual(neighborClaim(KEEPALIVED_NA_GLOBAL, address), KEEPALIVED_MAC);
    assert.equal(neighborClaim(KEEPALIVED_NA_GLOBAL, ip('fd00::101')), null, 'target');
    for (const [what, offset] of Object.entries({
      hopLimit: 21,
      type: 54,
      code: 55,
      checksum: 56,
      target: 70,
    })) {
      assert.equal(neighborClaim(flipped(KEEPALIVED_NA_GLOBAL, offset), address), null, what);
    }
  });

  test('an advertisement without the option is claimed by the sender of the frame', () => {
    const bare = neighborSolicitation(KEEPALIVED_MAC, null, ip('fd00::100'));
    bare[54] = 136;
    // RFC 1624: the type octet is the high one of its word, so 1 more there is 0x100 less in the checksum.
    const checksum = (((bare[56] ?? 0) << 8) | (bare[57] ?? 0)) - 0x100;
    bare.set([checksum >> 8, checksum & 0xff], 56);
    assert.deepEqual(neighborClaim(bare, ip('fd00::100')), KEEPALIVED_MAC);
  });

  test('no frame, however damaged, throws or reads past its end', () => {
    const seeds = [KEEPALIVED_GARP, KEEPALIVED_NA_GLOBAL, KEEPALIVED_V3, KEEPALIVED_V6];
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.nat(100),
        fc.nat(100),
        fc.nat(255),
        (seed, length, at, value) => {
          const frame = seed.slice(0, length);
          if (at < frame.length) frame[at] = value;
          for (const claim of [arpClaim(frame, ip('10.9.0.100')), neighborClaim(frame, ip('fd00::100'))]) {
            assert.ok(claim === null || claim.length === 6);
          }
          const envelope = readIpv4Header(frame.subarray(14));
          assert.ok(envelope === null || envelope.payloadEnd <= Math.max(0, frame.length - 14));
        },
      ),
    );
  });

  test('whatever is announced is understood as a claim', () => {
    const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(octets(6), octets(4), octets(16), fc.boolean(), (mac, ipv4, ipv6, router) => {
        const [four, six] = [ipFromOctets(ipv4), ipFromOctets(ipv6)];
        assert.deepEqual(arpClaim(gratuitousArp(mac, four), four), mac);
        assert.deepEqual(neighborClaim(unsolicitedNeighborAdvertisement(mac, six, router), six), mac);
        assert.equal(onesComplementSum(neighborSolicitation(mac, six, six)), 0xffff);
      }),
    );
  });
});

test('a hardware address is six pairs of lower-case digits', () => {
  assert.equal(formatMac(Uint8Array.of(0, 10, 0xff, 1, 2, 3)), '00:0a:ff:01:02:03');
});

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function ip(text: string): IpAddress {
  const address = parseIp(text);
  assert.ok(address !== null, text);
  return address;
}

function changed(octets: Uint8Array, offset: number, value: number): Uint8Array {
  return octets.with(offset, value);
}

function flipped(octets: Uint8Array, offset: number): Uint8Array {
  return changed(octets, offset, (octets[offset] ?? 0) ^ 1);
}

/** RFC 1071 over pseudo-header and ICMPv6 message of a frame, in the slow and obvious way: 0xffff when it verifies. */
function onesComplementSum(frame: Uint8Array): number {
  const message = Buffer.from(frame.subarray(54));
  const pseudoHeader = Buffer.alloc(40);
  pseudoHeader.set(frame.subarray(22, 54));
  pseudoHeader.writeUInt32BE(message.length, 32);
  pseudoHeader[39] = 58;
  const all = Buffer.concat([pseudoHeader, message]);
  let sum = 0;
  for (let offset = 0; offset < all.length; offset += 2) {
    sum += all.readUInt16BE(offset);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}
