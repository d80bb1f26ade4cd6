import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IpAddress, parseIp } from '../ip/address.ts';
import { watchDescriptors } from '../testing/sockets.ts';
import { RouteLookup } from './route-lookup.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.fail(text);

watchDescriptors();

test("the host's own addresses are found as such, and one that no packet goes to leads nowhere", (t) => {
  const routes = new RouteLookup();
  t.after(() => routes.close());
  for (const own of ['127.0.0.1', '127.9.9.9', '::1'])
    assert.deepEqual(routes.find(ip(own)), { kind: 'host' }, own);
  for (const nowhere of ['255.255.255.255', '::ffff:0:0:1'])
    assert.notEqual(routes.find(ip(nowhere))?.kind, 'host', nowhere);
});
