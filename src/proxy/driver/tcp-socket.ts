/** What the proxy needs of a socket beyond net.Socket: reset without leaks, and peers that are gone or stalled. */
import type { Socket } from 'node:net';
import { setTcpUserTimeoutMs } from '../../net/socket-options.ts';
import { readTcpInfo, takeSocketError, TCP_STATE_CLOSE } from '../../net/tcp-info.ts';
import type { TcpInfo } from '../../net/tcp-info.ts';

/** File descriptor of a socket or server, -1 when it is closed. */
export function fileDescriptor(owner: object): number {
  // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
  return (owner as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
}

/**
 * Closes a connected socket with RST; nothing that waits in its buffers is sent.
 *
 * While a FIN is being handed to the kernel (`end()` was called, everything is written, 'finish' is due)
 * `resetAndDestroy()` fails with EINVAL, forgets its handle and leaks the descriptor (libuv's uv_tcp_close_reset
 * refuses during uv_shutdown; Node 24.21). In that moment the reset waits for 'finish', at most one loop iteration.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const finBeingSent = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (!finBeingSent) {
    socket.resetAndDestroy();
    return;
  }
  socket.once('finish', () => {
    if (!socket.destroyed) socket.resetAndDestroy();
  });
}

/**
 * Watches one socket for what the event loop cannot see.
 *
 * - libuv does not poll a socket that is neither read nor written: paused by backpressure, or its FIN was read. When
 *   its peer resets it, or keepalive gives it up, nobody is told. `check` asks the kernel.
 * - TCP_USER_TIMEOUT also ends connections to a live peer that keeps its window closed for that long (Linux 5.11,
 *   tcp_probe_timer), such as a pager that waits for a key. While the window is closed and nothing is in flight
 *   the timeout is taken off; the kernel's own rule stays, which ends it when probes go unanswered.
 */
export class SocketWatch {
  readonly #socket: Socket;
  readonly #userTimeoutMs: number;
  #written = false;
  #timeoutOff = false;

  /** Sets TCP_USER_TIMEOUT; the socket must be connected. */
  constructor(socket: Socket, userTimeoutMs: number) {
    this.#socket = socket;
    this.#userTimeoutMs = userTimeoutMs;
    this.#setUserTimeout(userTimeoutMs);
  }

  /** To be called after each write, so that `check` need not ask about idle sockets. */
  wrote(): void {
    this.#written = true;
  }

  /** False when the connection is gone. Costs a system call only when there is something to ask. */
  check(): boolean {
    const unread = this.#socket.readableEnded || this.#socket.isPaused();
    if (!unread && !this.#written) return true;
    const fd = fileDescriptor(this.#socket);
    const info = fd < 0 ? null : readTcpInfo(fd);
    if (info === null) return true; // closed by Node already: its events tell
    if (info.state === TCP_STATE_CLOSE) return !unread || this.#closedInOrder(fd);
    this.#written = info.unackedSegments > 0 || info.notSentBytes > 0;
    const windowClosed = isWindowClosed(info);
    if (windowClosed !== this.#timeoutOff) {
      this.#timeoutOff = windowClosed;
      this.#setUserTimeout(windowClosed ? 0 : this.#userTimeoutMs);
    }
    return true;
  }

  /** In TCP_CLOSE: true when both FINs were exchanged, so what is left to read still counts. */
  #closedInOrder(fd: number): boolean {
    return this.#socket.writableEnded && takeSocketError(fd) === 0;
  }

  #setUserTimeout(timeoutMs: number): void {
    const fd = fileDescriptor(this.#socket);
    if (fd >= 0) setTcpUserTimeoutMs(fd, timeoutMs);
  }
}

/** The peer takes no full segment, and nothing is in flight: the kernel sends window probes and no data. */
function isWindowClosed(info: TcpInfo): boolean {
  return info.notSentBytes > 0 && info.unackedSegments === 0 && info.sendWindowBytes < info.sendSegmentBytes;
}
