import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { LogFields } from '../../log/log.ts';
import { createRouterCounters } from './counters.ts';
import { UnreadPackets } from './unread-packets.ts';

const MINUTE_MS = 60_000;

function createStage() {
  const counters = createRouterCounters();
  const lines: { message: string; fields: LogFields }[] = [];
  const packets = new UnreadPackets(counters, (_, message, fields = {}) => lines.push({ message, fields }));
  const look = (expected: number, unexpected: number, nowMs: number): void =>
    packets.look({ unread: () => ({ expected, unexpected }) }, 'eth0', nowMs);
  return { counters, lines, packets, look };
}

test('what the kernel drops is counted by kind, also when its counter turns over or the socket is a new one', () => {
  const { counters, packets, look } = createStage();
  look(0, 0xffff_fff0, 0);
  look(2, 0x10, 1);
  assert.deepEqual(counters.unread, { expected: 2, unexpected: 0xffff_fff0 + 0x20 });
  packets.begin();
  look(3, 0, 2);
  assert.equal(counters.unread.expected, 5);
});

test('one line a minute for each kind says where to look and what it means', () => {
  const { lines, look } = createStage();
  look(0, 0, 0);
  assert.equal(lines.length, 0);
  for (let count = 1; count <= 50; count += 1) look(0, count * 100, count);
  look(7, 5000, 51);
  assert.deepEqual(
    lines.map(({ fields }) => fields['kind']),
    ['unexpected', 'expected'],
  );
  assert.match(lines[0]?.message ?? '', /the election does not need them .*100 lost.*tcpdump -eni eth0 /u);
  assert.match(lines[1]?.message ?? '', /the VIP may move .*7 lost/u);
  look(7, 5100, MINUTE_MS + 1);
  assert.equal(lines.length, 3);
  assert.equal(lines[2]?.fields['suppressed'], 49);
});
