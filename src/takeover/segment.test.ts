import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../ip/address.ts';
import { promptSegment, readWord, resetSegment } from './segment.ts';
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

    test('a new connection is told apart, and what is for somebody else is not read', () => {
      const key = clientKey(client, 40_000) ?? assert.fail();
      const frame = reversed(promptSegment(service, key, 0), isIpv4);
      frame[14 + tcpAt + 13] = 0x02;
      assert.deepEqual(readWord(frame, service), { kind: 'syn', client: key });
      frame[14 + tcpAt + 13] = 0x11;
      assert.equal(readWord(frame, service), null, 'FIN');
      frame[14 + tcpAt + 13] = 0x10;
      assert.equal(readWord(frame, { vip, port: 6443 }), null, 'another port');
      assert.equal(readWord(frame, { vip: client, port: 36_443 }), null, 'another address');
    });

    test('any frame is read or not, and never throws', () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 128 }), (frame) => void readWord(frame, service)));
    });
  });
}
