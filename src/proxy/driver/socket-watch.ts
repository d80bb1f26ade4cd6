/** Watches one socket for what epoll cannot tell: whether a peer that takes nothing is slow or dead. */
import { readTcpInfo, type TcpInfo } from './tcp-info.ts';
import { setUserTimeoutMs } from './tcp-socket.ts';

/**
 * TCP_USER_TIMEOUT also ends connections to a live peer that keeps its window closed for that long (Linux 5.11,
 * tcp_probe_timer), such as a pager that waits for a key. While the window is closed and nothing is in flight the
 * timeout is taken off; the kernel's own rule stays, which ends it when probes go unanswered.
 */
export class SocketWatch {
  readonly #fd: number;
  readonly #userTimeoutMs: number;
  #written = false;
  #timeoutOff = false;

  /** The socket has TCP_USER_TIMEOUT already. */
  constructor(fd: number, userTimeoutMs: number) {
    this.#fd = fd;
    this.#userTimeoutMs = userTimeoutMs;
  }

  /** To be called after each write, so that `check` need not ask about idle sockets. */
  wrote(): void {
    this.#written = true;
  }

  /** Costs a system call only when there is something to ask. */
  check(): void {
    if (!this.#written) return;
    const info = readTcpInfo(this.#fd);
    if (info === null) return;
    this.#written = info.unackedSegments > 0 || info.notSentBytes > 0;
    const windowClosed = isWindowClosed(info);
    if (windowClosed === this.#timeoutOff) return;
    this.#timeoutOff = windowClosed;
    setUserTimeoutMs(this.#fd, windowClosed ? 0 : this.#userTimeoutMs);
  }

  /**
   * To be called before the socket is closed with FIN: nobody will check it any more, and its peer may yet pause before
   * it has taken everything. The kernel's rule for sockets without an owner ends it when the peer is dead.
   */
  leave(): void {
    if (this.#written && !this.#timeoutOff) setUserTimeoutMs(this.#fd, 0);
  }
}

/** The peer takes no full segment, and nothing is in flight: the kernel sends window probes and no data. */
function isWindowClosed(info: TcpInfo): boolean {
  return info.notSentBytes > 0 && info.unackedSegments === 0 && info.sendWindowBytes < info.sendSegmentBytes;
}
