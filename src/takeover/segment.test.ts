import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../ip/address.ts';
import { isFirst, packetsToHandOn, promptSegment, readSegment, readWord, resetSegment } from './segment.ts';
import { StraySegments } from './stray-segments.ts';
import { clientKey } from './tuple.ts';

const ip = (text: string) => parseIp(text) ?? assert.fail(text);
const PAIRS = [
  { vip: ip('192.0.2.10'), client: ip('192.0.2.101') },
  { vip: ip('2001:db8::10'), client: ip('2001:db8::101') },
] as const;

/** The sum that a receiver makes of pseudo-header and segment: all ones when the checksum is right (RFC 1071). */
function receiverSum(packet: Uint8Array, isIpv4: boolean): number {
  const tcp = packet.subarray(isIpv4 ? 20 : 40);
  const addresses = isIpv4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  let sum = 6 + tcp.length;
  for (const octets of [addresses, tcp])
    for (let at = 0; at < octets.length; at += 2) sum += ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The same of an IPv4 header without options. */
function headerSum(packet: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A segment of the client, as a frame, made of one of ours with its ends exchanged. */
function reversed(packet: Uint8Array, isIpv4: boolean): Uint8Array {
  const frame = new Uint8Array(14 + packet.length);
  frame.set(packet, 14);
  const [at, bytes] = isIpv4 ? [12, 4] : [8, 16];
  frame.set(packet.subarray(at, at + bytes), 14 + at + bytes);
  frame.set(packet.subarray(at + bytes, at + 2 * bytes), 14 + at);
  const tcpAt = isIpv4 ? 20 : 40;
  frame.set(packet.subarray(tcpAt, tcpAt + 2), 14 + tcpAt + 2);
  frame.set(packet.subarray(tcpAt + 2, tcpAt + 4), 14 + tcpAt);
  return frame;
}

for (const { vip, client } of PAIRS) {
  const isIpv4 = vip.family === 'IPv4';
  const service = { vip, port: 36_443 };
  const tcpAt = isIpv4 ? 20 : 40;
  describe(`segments over ${vip.family}`, () => {
    test('have a checksum that receivers accept, whatever client and sequence', () => {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 65_535 }), fc.nat(0xffffffff), (port, sequence) => {
          const key = clientKey(client, port) ?? assert.fail();
          assert.equal(receiverSum(promptSegment(service, key, 0), isIpv4), 0xffff);
          assert.equal(receiverSum(resetSegment(service, key, sequence), isIpv4), 0xffff);
        }),
      );
    });

    test('a prompt is an ACK and nothing else, with another sequence number in each round', () => {
      const key = clientKey(client, 40_000) ?? assert.fail();
      const prompts = [0, 1, 2].map((round) => promptSegment(service, key, round));
      for (const prompt of prompts) assert.equal(prompt[tcpAt + 13], 0x10);
      const sequences = prompts.map((prompt) => Buffer.from(prompt).readUInt32BE(tcpAt + 4));
      assert.equal(new Set(sequences).size, 3);
    });

    test("the client's answer is read, and the reset bears the number that it expects", () => {
      const key = clientKey(client, 40_000) ?? assert.fail();
      const frame = reversed(promptSegment(service, key, 0), isIpv4);
      Buffer.from(frame.buffer).writeUInt32BE(0xfedcba98, 14 + tcpAt + 8);
      assert.deepEqual(readWord(frame, service), { kind: 'ack', client: key, expects: 0xfedcba98 });
      const reset = resetSegment(service, key, 0xfedcba98);
      assert.equal(Buffer.from(reset).readUInt32BE(tcpAt + 4), 0xfedcba98);
      assert.equal(reset[tcpAt + 13], 0x04);
    });

    test('a new connection and one that is gone are told apart, and what is for somebody else is not read', () => {
      const key = clientKey(client, 40_000) ?? assert.fail();
      const frame = reversed(promptSegment(service, key, 0), isIpv4);
      frame[14 + tcpAt + 13] = 0x02;
      assert.deepEqual(readWord(frame, service), { kind: 'syn', client: key });
      for (const flags of [0x04, 0x14]) {
        frame[14 + tcpAt + 13] = flags;
        assert.deepEqual(readWord(frame, service), { kind: 'rst', client: key });
      }
      frame[14 + tcpAt + 13] = 0x11;
      assert.equal(readWord(frame, service), null, 'FIN');
      frame[14 + tcpAt + 13] = 0x10;
      assert.equal(readWord(frame, { vip, port: 6443 }), null, 'another port');
      assert.equal(readWord(frame, { vip: client, port: 36_443 }), null, 'another address');
    });

    test('a joined segment is handed on in pieces that fit the link, whole, with good checksums, and not any further', () => {
      const key = clientKey(client, 40_000) ?? assert.fail();
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(0xffffffff), (data, sequence) => {
          const head = reversed(promptSegment(service, key, 0), isIpv4);
          const frame = Buffer.concat([head, data, Buffer.alloc(6)]); // and some padding
          frame.writeUInt32BE(sequence, 14 + tcpAt + 4);
          frame[14 + tcpAt + 13] = 0x19; // FIN, PSH, ACK
          frame.writeUInt16BE(isIpv4 ? 40 + data.length : 20 + data.length, 14 + (isIpv4 ? 2 : 4));
          const segment = readSegment(frame, service) ?? assert.fail();
          assert.equal(segment.client, key);
          const packets = packetsToHandOn(segment, 1500).map((packet) => Buffer.from(packet));
          assert.deepEqual(
            Buffer.concat(packets.map((packet) => packet.subarray(tcpAt + 20))),
            Buffer.from(data),
          );
          let next = sequence;
          for (const [index, packet] of packets.entries()) {
            assert.ok(packet.length <= 1500);
            assert.equal(receiverSum(packet, isIpv4), 0xffff);
            if (isIpv4) assert.equal(headerSum(packet), 0xffff);
            assert.equal(packet[isIpv4 ? 8 : 7], 1);
            assert.equal(packet.readUInt32BE(tcpAt + 4), next);
            assert.equal(packet[tcpAt + 13], index === packets.length - 1 ? 0x19 : 0x10);
            assert.equal(packet.readUInt16BE(isIpv4 ? 2 : 4), packet.length - (isIpv4 ? 0 : 40));
            next = (next + packet.length - tcpAt - 20) >>> 0;
          }
        }),
      );
    });

    test('a new holder keeps what began here, and hands on the rest', () => {
      const segmentOf = (port: number, flags: number) => {
        const key = clientKey(client, port) ?? assert.fail();
        const frame = reversed(promptSegment(service, key, 0), isIpv4);
        frame[14 + tcpAt + 13] = flags;
        return readSegment(frame, service) ?? assert.fail();
      };
      const strays = new StraySegments();
      const verdicts = [
        [40_000, 0x18, true],
        [40_001, 0x02, false],
        [40_001, 0x10, false],
        [40_001, 0x18, false],
        [40_000, 0x11, true],
        [40_002, 0x12, true],
        [40_003, 0x04, true],
      ] as const;
      for (const [port, flags, isStray] of verdicts)
        assert.equal(strays.isStray(segmentOf(port, flags)), isStray, `${port} ${flags}`);
      assert.equal(strays.handedOn, 4);
      assert.equal(isFirst(segmentOf(1, 0x02)), true);
    });

    test('any frame is read or not, and never throws', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 128 }), (octets) => {
          const frame = octets.slice();
          if (frame.length > 24) frame.set([isIpv4 ? 0x45 : 0x60], 14);
          readWord(frame, service);
          const segment = readSegment(frame, service);
          if (segment !== null) packetsToHandOn(segment, 1500);
        }),
      );
    });
  });
}
