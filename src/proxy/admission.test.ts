import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../ip/address.ts';
import { AcceptRate, Admission } from './admission.ts';
import type { AdmissionLimits, Network } from './admission.ts';

const network = (text: string, prefixLength: number): Network => ({
  address: parseIp(text) ?? assert.fail(text),
  prefixLength,
});
const admission = (limits: Partial<AdmissionLimits>): Admission =>
  new Admission({ maxConnections: 10, maxConnectionsPerSource: 0, allowedSources: [], ...limits });

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

describe('AcceptRate', () => {
  test('in no window are there more than the rate allows, and nobody waits longer than for one token', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.double({ min: 0, max: 500, noNaN: true }), { maxLength: 200 }),
        (perSecond, gapsMs) => {
          const rate = new AcceptRate(perSecond);
          let nowMs = 10_000;
          let taken = 0;
          for (const gapMs of gapsMs) {
            nowMs += gapMs;
            const waitMs = rate.waitMs(nowMs);
            if (waitMs === 0) {
              rate.take();
              taken += 1;
            } else assert.ok(waitMs <= 1000 / perSecond + 0.001);
          }
          assert.ok(taken <= perSecond + ((nowMs - 10_000) * perSecond) / 1000 + 0.001);
        },
      ),
    );
  });

  test('after the wait there is a token', () => {
    const rate = new AcceptRate(1);
    assert.equal(rate.waitMs(5000), 0);
    rate.take();
    assert.equal(rate.waitMs(5000), 1000);
    assert.equal(rate.waitMs(6000), 0);
  });

  test('0 is no limit', () => {
    const rate = new AcceptRate(0);
    for (let count = 0; count < 10_000; count += 1) {
      assert.equal(rate.waitMs(0), 0);
      rate.take();
    }
  });
});
