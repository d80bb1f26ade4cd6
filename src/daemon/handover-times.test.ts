import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LINGER_MAX_MS } from '../proxy/lingering.ts';
import { SHELTER_MS } from '../takeover/driver/shelter.ts';
import { SUCCESSOR_PATIENCE_MS } from '../vrrp/driver/successor.ts';
import { HANDED_OVER_LEASE_SECONDS } from '../vrrp/lease.ts';
import { HANDED_OVER_TIMEOUT_MS } from './proxy-threads.ts';

test('the address and the shelter of its clients outlast the requests of a holder that has handed over', () => {
  assert.ok(HANDED_OVER_TIMEOUT_MS > LINGER_MAX_MS);
  assert.ok(HANDED_OVER_LEASE_SECONDS * 1000 > SUCCESSOR_PATIENCE_MS + HANDED_OVER_TIMEOUT_MS);
  assert.ok(SHELTER_MS > HANDED_OVER_TIMEOUT_MS);
});
