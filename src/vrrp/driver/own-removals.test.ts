import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { OwnRemovals } from './own-removals.ts';

describe('own removals of the address', () => {
  test('one notification for each is the own one, before or after the answer; the next is not', async () => {
    const removals = new OwnRemovals();
    await removals.during(async () => true);
    assert.equal(removals.take(), true);
    assert.equal(removals.take(), false);
    await removals.during(async () => {
      assert.equal(removals.take(), true);
      return true;
    });
    assert.equal(removals.take(), false);
  });

  test('what found nothing to remove, or failed, is not notified of', async () => {
    const removals = new OwnRemovals();
    await removals.during(async () => false);
    assert.equal(removals.take(), false);
    await assert.rejects(removals.during(() => Promise.reject(new Error('ENODEV'))));
    assert.equal(removals.take(), false);
  });

  test('an expiry at the same moment leaves nothing behind', async () => {
    const removals = new OwnRemovals();
    await removals.during(async () => {
      removals.take();
      return false;
    });
    assert.equal(removals.take(), false);
  });
});
