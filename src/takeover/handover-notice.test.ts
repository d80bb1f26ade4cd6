import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { decodeHandoverNotice, encodeHandoverNotice, isHandoverNotice } from './handover-notice.ts';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 7);

describe('the notice of a handover', () => {
  test('its octets are these', () => {
    const octets = encodeHandoverNotice({ vrid: 51, step: 'leaving', mac: MAC });
    assert.equal(Buffer.from(octets).toString('hex'), '12013300020000000007');
    assert.deepEqual(decodeHandoverNotice(octets, 51), { vrid: 51, step: 'leaving', mac: MAC });
    const answer = encodeHandoverNotice({ vrid: 51, step: 'ready', mac: MAC });
    assert.equal(decodeHandoverNotice(answer, 51)?.step, 'ready');
  });

  for (const [what, hex] of [
    ['another virtual router', '12013400020000000007'],
    ['an unknown step', '12033300020000000007'],
    ['a message of another kind', '11013300020000000007'],
    ['too short', '120133000200000000'],
    ['too long', '1201330002000000000700'],
    ['a group address', '12013300010000000007'],
    ['no address', '12013300000000000000'],
  ] as const) {
    test(`not taken: ${what}`, () => {
      assert.equal(decodeHandoverNotice(Buffer.from(hex, 'hex'), 51), null);
    });
  }

  test('any octets are taken or not, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 16 }), (octets) => {
        const notice = decodeHandoverNotice(octets, 51);
        assert.ok(notice === null || isHandoverNotice(octets));
      }),
    );
  });
});
