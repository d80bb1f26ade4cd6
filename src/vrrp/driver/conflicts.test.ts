import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseIp } from '../../ip/address.ts';
import { Conflicts } from './conflicts.ts';
import { createRouterCounters } from './counters.ts';

const VIP = parseIp('192.168.100.10')!;
const OTHER_MAC = '02:42:c0:a8:64:07';

/** `holds`: what the router answers when it is asked whether it holds the VIP. */
function createStage(holds: () => boolean) {
  const counters = createRouterCounters();
  const lines: string[] = [];
  const defenses: number[] = [];
  const conflicts = new Conflicts({
    vip: VIP,
    counters,
    log: (_, message) => lines.push(message),
    nowMs: () => 0,
    holds,
    defend: () => defenses.push(1),
  });
  return { conflicts, counters, lines, defenses };
}

test('another host that has the VIP is counted each time, said once a minute, and answered (RFC 5227 2.4)', () => {
  const { conflicts, counters, lines, defenses } = createStage(() => true);
  conflicts.claimed(OTHER_MAC);
  conflicts.claimed(OTHER_MAC);
  assert.equal(counters.conflicts.address_claimed, 2);
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? '',
    new RegExp(`another host, ${OTHER_MAC}, says that it has 192\\.168\\.100\\.10`),
  );
  assert.equal(defenses.length, 1);
});

test('a holder that was frozen says nothing against the successor whose claim it reads first', () => {
  const { conflicts, counters, lines, defenses } = createStage(() => false);
  conflicts.claimed(OTHER_MAC);
  assert.equal(counters.conflicts.address_claimed, 0);
  assert.deepEqual(lines, []);
  assert.deepEqual(defenses, []);
});

test('an Active that is heard claims the VIP by right', () => {
  const { conflicts, counters, lines } = createStage(() => true);
  conflicts.onOtherActive();
  conflicts.claimed(OTHER_MAC);
  assert.equal(counters.conflicts.address_claimed, 0);
  assert.deepEqual(lines, []);
});
