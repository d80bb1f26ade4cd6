import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** The modules that a process has loaded once it has imported the main thread's. */
function loadedByMainThread(): string[] {
  const mainThread = JSON.stringify(new URL('main-thread.ts', import.meta.url).href);
  const script = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    await import(${mainThread});
    console.log(JSON.stringify(loaded));`;
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return JSON.parse(answer) as string[];
}

test('the main thread loads nothing of what other threads run', () => {
  const loaded = loadedByMainThread();
  assert.ok(
    loaded.some((url) => url.endsWith('/src/vrrp/driver/router.ts')),
    'the election is there',
  );
  const engines =
    /\/src\/(?:proxy\/driver\/(?:tcp-proxy|relay|flow|event-loop)|takeover\/|health\/driver\/checker|daemon\/(?:admin|metrics|logger))/;
  assert.deepEqual(
    loaded.filter((url) => engines.test(url)),
    [],
  );
});
