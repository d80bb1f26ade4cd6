import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { test } from 'node:test';

import koffi from 'koffi';

import { Epoll, EPOLLIN, EPOLLOUT, eventLayout } from './epoll.ts';
import { FixedMemory, libc } from '../../net/libc.ts';
import { NONBLOCK_CLOEXEC } from '../../net/linux.ts';

test('an event has the C layout of its architecture: packed on x86-64, aligned on arm64', () => {
  const members = { events: 'uint32_t', data: 'uint64_t' };
  for (const [arch, type] of [
    ['x64', koffi.pack(members)],
    ['arm64', koffi.struct(members)],
  ] as const) {
    assert.deepEqual(eventLayout(arch), {
      words: koffi.sizeof(type) / 4,
      dataWord: koffi.offsetof(type, 'data') / 4,
    });
  }
});

test('of several events at once, each has its own descriptor, mark and kind', (t) => {
  const ends = new FixedMemory(8);
  assert.equal(libc.pipe2(ends.address, NONBLOCK_CLOEXEC), 0);
  const [readFd = -1, writeFd = -1] = ends.words;
  const epoll = new Epoll(8);
  t.after(() => {
    epoll.close();
    libc.close(readFd);
    libc.close(writeFd);
  });
  epoll.add(readFd, EPOLLIN, 0x7fff_ffff);
  epoll.add(writeFd, EPOLLOUT, -2);
  assert.equal(writeSync(writeFd, 'x'), 1);

  assert.equal(epoll.wait(8_000), 2);
  const seen = [0, 1].map((index) => [epoll.fdAt(index), epoll.markAt(index), epoll.eventsAt(index)]);
  assert.deepEqual(
    seen.toSorted(([left = 0], [right = 0]) => left - right),
    [
      [readFd, 0x7fff_ffff, EPOLLIN],
      [writeFd, -2, EPOLLOUT],
    ].toSorted(([left = 0], [right = 0]) => left - right),
  );

  epoll.remove(writeFd);
  assert.equal(epoll.wait(8_000), 1);
  assert.equal(epoll.fdAt(0), readFd);
});
