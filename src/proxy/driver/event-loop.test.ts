/** The loop of a proxy thread: sockets by epoll, with Node's own loop inside. */
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { monotonicMs } from '../../runtime/clock.ts';
import { EPOLLIN } from './epoll.ts';
import { FixedMemory, libc } from '../../net/libc.ts';
import { NONBLOCK_CLOEXEC } from '../../net/linux.ts';
import { EventLoop } from './event-loop.ts';

const DEADLINE_MS = 8_000;

async function startLoop(t: TestContext): Promise<EventLoop> {
  const loop = await EventLoop.start();
  t.after(() => loop.stop());
  return loop;
}

const ends = new FixedMemory(8);

/** Read and write end of a pipe with one byte in it. */
function openPipe(): readonly [number, number] {
  assert.equal(libc.pipe2(ends.address, NONBLOCK_CLOEXEC), 0);
  const [readFd = -1, writeFd = -1] = ends.words;
  assert.equal(writeSync(writeFd, 'x'), 1);
  return [readFd, writeFd];
}

async function within(promise: Promise<unknown>, what: string): Promise<void> {
  const fromMs = monotonicMs();
  await promise;
  assert.ok(monotonicMs() - fromMs < DEADLINE_MS, `not within ${DEADLINE_MS} ms: ${what}`);
}

test("Node's messages and results end the wait: each would take a second otherwise", async (t) => {
  await startLoop(t);
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  port1.on('message', (value) => port1.postMessage(value));
  const exchange = async (): Promise<void> => {
    for (let count = 0; count < 20; count += 1) {
      const answer = new Promise((resolve) => void port2.once('message', resolve));
      port2.postMessage(count);
      assert.equal(await answer, count);
      await readFile('/proc/self/stat');
    }
  };
  await within(exchange(), '20 messages there and back, and 20 files');
});

test('a deadline runs once, when its time has come', async (t) => {
  const loop = await startLoop(t);
  const dueMs = monotonicMs() + 30;
  let runs = 0;
  await within(
    new Promise<void>((resolve) => {
      loop.deadline(() => (runs += 1)).atMs = dueMs;
      loop.deadline(resolve).atMs = dueMs + 60;
    }),
    'both deadlines',
  );
  assert.equal(runs, 1);
  assert.ok(monotonicMs() >= dueMs + 60);
});

test('an event of a descriptor that was closed meanwhile is not given to its successor', async (t) => {
  const loop = await startLoop(t);
  const pipes = [openPipe(), openPipe()];
  const seen: string[] = [];
  const readEnds = pipes.map(([fd]) => fd);
  const successor: number[] = [];
  /** Both are ready in the same turn; whoever comes first closes the other one and opens something in its place. */
  const ready = (fd: number): void => {
    seen.push('first');
    const other = readEnds.find((end) => end !== fd) ?? -1;
    loop.unwatch(fd, true);
    loop.unwatch(other);
    libc.close(other);
    assert.equal(libc.pipe2(ends.address, NONBLOCK_CLOEXEC), 0);
    const [emptyFd = -1, writeFd = -1] = ends.words;
    successor.push(emptyFd, writeFd);
    assert.equal(emptyFd, other, 'the number is used again');
    loop.watch(emptyFd, EPOLLIN, { ready: () => seen.push('successor') });
  };
  for (const fd of readEnds) loop.watch(fd, EPOLLIN, { ready });
  await within(
    new Promise<void>((resolve) => {
      loop.deadline(resolve).atMs = monotonicMs() + 50;
    }),
    'some turns',
  );
  assert.deepEqual(seen, ['first']);
  for (const fd of [...successor, ...pipes.map(([, writeFd]) => writeFd)]) libc.close(fd);
});

test('a task without end keeps neither sockets, nor deadlines, nor Node from their turns', async (t) => {
  const loop = await startLoop(t);
  let turns = 0;
  loop.later({ run: () => (turns += 1) > 0 });
  const [readFd, writeFd] = openPipe();
  const events: string[] = [];
  loop.watch(readFd, EPOLLIN, {
    ready: () => {
      events.push('socket');
      loop.unwatch(readFd, true);
    },
  });
  loop.deadline(() => events.push('deadline')).atMs = monotonicMs() + 20;
  await within(
    (async () => {
      while (!events.includes('deadline')) await readFile('/proc/self/stat');
    })(),
    'a deadline and a file',
  );
  assert.deepEqual(events, ['socket', 'deadline']);
  assert.ok(turns > 1);
  for (const fd of [readFd, writeFd]) libc.close(fd);
});
