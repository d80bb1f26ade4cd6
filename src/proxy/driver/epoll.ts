/** epoll(7): which of many descriptors are ready. One thread's own. */
import { callError, FixedMemory, libc, required } from '../../net/libc.ts';
import { EINTR } from '../../net/linux.ts';

export const EPOLLIN = 0x1;
export const EPOLLPRI = 0x2;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 1 << 31;

const EPOLL_CLOEXEC = 0o2_000_000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

/**
 * struct epoll_event: u32 events, then u64 data, in words of 32 bits. It is packed on x86-64 (`process.arch` x64) alone
 * (linux/eventpoll.h, EPOLL_PACKED).
 */
export function eventLayout(arch: string): { readonly words: number; readonly dataWord: number } {
  return arch === 'x64' ? { words: 3, dataWord: 1 } : { words: 4, dataWord: 2 };
}

const { words: EVENT_WORDS, dataWord: DATA_WORD } = eventLayout(process.arch);

/** What `wait` finds is read by index, without an object for each. */
export class Epoll {
  readonly #fd: number;
  readonly #maxEvents: number;
  readonly #events: FixedMemory;
  readonly #event = new FixedMemory(EVENT_WORDS * 4);

  /** `maxEvents`: at most so many per `wait`. Throws NetError: EMFILE. */
  constructor(maxEvents: number) {
    this.#maxEvents = maxEvents;
    this.#events = new FixedMemory(maxEvents * EVENT_WORDS * 4);
    this.#fd = required(libc.epollCreate1(EPOLL_CLOEXEC), 'cannot make an epoll descriptor');
  }

  /**
   * Watches `fd` for EPOLL… events until it is closed. `mark` comes back with each of its events: descriptors are used
   * again, so an event that was fetched before `fd` was closed must not be taken for one of its successor.
   * Returns 0, or minus an errno: ENOMEM, or ENOSPC beyond fs.epoll.max_user_watches.
   */
  add(fd: number, events: number, mark: number): number {
    const { words, address } = this.#event;
    words[0] = events;
    words[DATA_WORD] = fd;
    words[DATA_WORD + 1] = mark;
    return libc.epollCtl(this.#fd, EPOLL_CTL_ADD, fd, address);
  }

  /** Ends the watch of a descriptor that stays open. */
  remove(fd: number): void {
    libc.epollCtl(this.#fd, EPOLL_CTL_DEL, fd, this.#event.address);
  }

  /**
   * How many descriptors are ready, after `timeoutMs` (whole; -1: for ever) at the latest. A signal may end it early.
   */
  wait(timeoutMs: number): number {
    const count = libc.epollWait(this.#fd, this.#events.address, this.#maxEvents, timeoutMs);
    if (count >= 0) return count;
    if (count === -EINTR) return 0;
    throw callError(count, 'cannot wait for descriptors');
  }

  eventsAt(index: number): number {
    return this.#events.words[index * EVENT_WORDS] ?? 0;
  }

  fdAt(index: number): number {
    return this.#events.words[index * EVENT_WORDS + DATA_WORD] ?? -1;
  }

  markAt(index: number): number {
    return this.#events.words[index * EVENT_WORDS + DATA_WORD + 1] ?? 0;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
