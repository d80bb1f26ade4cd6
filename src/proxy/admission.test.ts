import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIp } from '../ip/address.ts';
import { Admission, createAdmissionMemory } from './admission.ts';
import type { AdmissionLimits, Network } from './admission.ts';

const network = (text: string, prefixLength: number): Network => ({
  address: parseIp(text) ?? assert.fail(text),
  prefixLength,
});
const admission = (changed: Partial<AdmissionLimits>): Admission => {
  const limits = { maxConnections: 10, maxConnectionsPerSource: 0, allowedSources: [], ...changed };
  return new Admission(limits, createAdmissionMemory(limits, 1));
};

describe('Admission', () => {
  test('turns away whoever is beyond the limit on clients', () => {
    assert.equal(admission({}).admit('192.0.2.1', 9), null);
    assert.equal(admission({}).admit('192.0.2.1', 10), 'limit');
  });

  test('a source beyond its limit is turned away, others are not, and who leaves makes room', () => {
    const limited = admission({ maxConnectionsPerSource: 2 });
    assert.deepEqual(
      [1, 2, 3].map(() => limited.admit('::ffff:192.0.2.1', 0)),
      [null, null, 'sourceLimit'],
    );
    assert.equal(limited.admit('::ffff:192.0.2.2', 0), null);
    limited.left('::ffff:192.0.2.1');
    assert.equal(limited.admit('::ffff:192.0.2.1', 0), null);
    assert.equal(limited.admit('::ffff:192.0.2.1', 0), 'sourceLimit');
  });

  test('the last places are for sources with few connections, whatever one noisy source does', () => {
    const limited = admission({ maxConnections: 1600 });
    let clients = 0;
    while (limited.admit('192.0.2.1', clients) === null) clients += 1;
    assert.equal(clients, 1500);
    assert.equal(limited.admit('192.0.2.1', clients), 'reserved');
    for (let kubelet = 2; kubelet < 102; kubelet += 1) {
      assert.equal(limited.admit(`192.0.2.${kubelet}`, clients), null);
      clients += 1;
    }
    assert.equal(limited.admit('192.0.2.200', clients), 'limit');
  });

  test('only sources in the allowed networks may connect, in whatever form the socket has them', () => {
    const limited = admission({ allowedSources: [network('192.0.2.0', 24), network('2001:db8::', 32)] });
    for (const source of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::1', '2001:db8:ffff::1']) {
      assert.equal(limited.admit(source, 0), null, source);
      assert.equal(limited.admit(source, 0), null, `${source}, remembered`);
    }
    for (const source of ['192.0.3.7', '::ffff:198.51.100.1', '2001:db9::1', 'fe80::1%2', '']) {
      assert.equal(limited.admit(source, 0), 'forbidden', source);
      assert.equal(limited.admit(source, 0), 'forbidden', `${source}, remembered`);
    }
  });
});
