/** Pipes of one thread, lent while bytes are in flight between two sockets (splice(2) needs one in between). */
import { monotonicMs } from '../../runtime/clock.ts';
import { errnoCode, FixedMemory, libc } from '../../net/libc.ts';
import { F_GETPIPE_SZ, NONBLOCK_CLOEXEC } from '../../net/linux.ts';

/** What a pipe holds (pipe(7)): 16 pages. Where pages are larger than 4 KiB it is more, which does no harm. */
export const PIPE_BYTES = 64 * 1024;

/** After the kernel has refused a pipe: until then no other one is asked for. */
const RETRY_MS = 10_000;

export type Pipe = { readonly readFd: number; readonly writeFd: number };

export class PipePool {
  readonly #max: number;
  readonly #onShortage: (reason: string) => void;
  readonly #free: Pipe[] = [];
  readonly #fds = new FixedMemory(8);
  #made = 0;
  #retryAtMs = 0;

  /**
   * Never more than `max` pipes, of two descriptors each. `onShortage` is called, at most every RETRY_MS, when the
   * kernel grants no pipe of full size; the reason is one sentence.
   */
  constructor(max: number, onShortage: (reason: string) => void) {
    this.#max = max;
    this.#onShortage = onShortage;
  }

  /** An empty pipe; null when all are lent, or the kernel grants none that holds PIPE_BYTES. */
  take(): Pipe | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made >= this.#max || monotonicMs() < this.#retryAtMs) return null;
    return this.#make();
  }

  #make(): Pipe | null {
    const made = libc.pipe2(this.#fds.address, NONBLOCK_CLOEXEC);
    if (made < 0) return this.#refused(`the kernel makes no pipe: ${errnoCode(-made)}`);
    const [readFd = -1, writeFd = -1] = this.#fds.words;
    this.#made += 1;
    const pipe = { readFd, writeFd };
    const sizeBytes = libc.fcntl(readFd, F_GETPIPE_SZ, 0);
    if (sizeBytes >= PIPE_BYTES) return pipe;
    // pipe(7): two pages, beyond fs.pipe-user-pages-soft and without CAP_SYS_RESOURCE. A copy carries more at a time.
    this.discard(pipe);
    return this.#refused(
      `a new pipe holds ${sizeBytes} bytes: the pipes of this user on the node have reached fs.pipe-user-pages-soft`,
    );
  }

  #refused(reason: string): null {
    this.#retryAtMs = monotonicMs() + RETRY_MS;
    this.#onShortage(reason);
    return null;
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
