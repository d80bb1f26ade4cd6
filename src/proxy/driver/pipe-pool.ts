/** Pipes of one thread, lent while bytes are in flight between two sockets (splice(2) needs one in between). */
import { FixedMemory, libc } from '../../net/libc.ts';
import { NONBLOCK_CLOEXEC } from '../../net/linux.ts';

/** What a pipe holds (pipe(7)): 16 pages. Where pages are larger than 4 KiB it is more, which does no harm. */
export const PIPE_BYTES = 64 * 1024;

export type Pipe = { readonly readFd: number; readonly writeFd: number };

export class PipePool {
  readonly #max: number;
  readonly #free: Pipe[] = [];
  readonly #fds = new FixedMemory(8);
  #made = 0;

  /** Never more than `max` pipes, of two descriptors each. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * An empty pipe; null when all are lent, or the kernel grants no more (EMFILE, or the user's limit on pipe pages).
   */
  take(): Pipe | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made >= this.#max) return null;
    if (libc.pipe2(this.#fds.address, NONBLOCK_CLOEXEC) < 0) return null;
    this.#made += 1;
    const [readFd = -1, writeFd = -1] = this.#fds.words;
    return { readFd, writeFd };
  }

  /** Takes an empty pipe back. */
  giveBack(pipe: Pipe): void {
    this.#free.push(pipe);
  }

  /** Closes a pipe that is not empty: what it holds is dropped. */
  discard(pipe: Pipe): void {
    libc.close(pipe.readFd);
    libc.close(pipe.writeFd);
    this.#made -= 1;
  }

  /** Closes what is not lent. */
  close(): void {
    for (let pipe = this.#free.pop(); pipe !== undefined; pipe = this.#free.pop()) this.discard(pipe);
  }
}
