import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { Obstacle, untilDone } from './obstacle.ts';

suite('what is in the way when the daemon starts', () => {
  test('each obstacle is told once, and that there is none any more', async () => {
    const told: (string | null)[] = [];
    const obstacles = ['a', 'a', 'b', 'b', 'b'];
    const result = await untilDone(
      () => {
        const text = obstacles.shift();
        if (text !== undefined) throw new Obstacle(text);
        return 7;
      },
      {
        signal: new AbortController().signal,
        onObstacle: (text) => told.push(text),
        changed: () => Promise.resolve(),
      },
    );
    assert.equal(result, 7);
    assert.deepEqual(told, ['a', 'b', null]);
  });

  test('without an obstacle nothing is told', async () => {
    const onObstacle = (): never => assert.fail('told');
    assert.equal(await untilDone(() => 1, { signal: new AbortController().signal, onObstacle }), 1);
  });

  test('tries again by itself where no change announces itself', async () => {
    let tries = 0;
    const attempt = (): number => {
      tries += 1;
      if (tries < 3) throw new Obstacle('not yet');
      return tries;
    };
    const waiting = { signal: new AbortController().signal, onObstacle: () => undefined };
    assert.equal(await untilDone(attempt, waiting), 3);
  });

  test('what is no obstacle ends the wait', async () => {
    const attempt = (): never => {
      throw new TypeError('a defect');
    };
    const waiting = { signal: new AbortController().signal, onObstacle: () => undefined };
    await assert.rejects(untilDone(attempt, waiting), TypeError);
  });

  test('a daemon that is stopped waits no longer', async () => {
    const controller = new AbortController();
    const attempt = (): never => {
      throw new Obstacle('for ever');
    };
    const waited = untilDone(attempt, {
      signal: controller.signal,
      onObstacle: () => controller.abort(),
      changed: () => new Promise(() => undefined),
    });
    await assert.rejects(waited, { name: 'AbortError' });
  });
});
