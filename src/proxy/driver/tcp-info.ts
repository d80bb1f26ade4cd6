/** What the kernel knows of a TCP connection that nobody reads from or writes to (getsockopt TCP_INFO, tcp(7)). */
import { FixedMemory, libc } from '../../net/libc.ts';
import { IPPROTO_TCP, SO_ERROR, SOL_SOCKET, TCP_INFO } from '../../net/linux.ts';

export type TcpInfo = {
  /** Segments sent and not acknowledged. */
  readonly unackedSegments: number;
  /** Bytes in the send buffer that have not been sent at all. */
  readonly notSentBytes: number;
  /** What the peer has last offered to take. */
  readonly sendWindowBytes: number;
  readonly sendSegmentBytes: number;
};

// struct tcp_info, linux/tcp.h: offsets are ABI; the last of these fields, tcpi_snd_wnd, is there since Linux 5.4
const STATE_OFFSET = 0;
const SEGMENT_OFFSET = 16;
const UNACKED_OFFSET = 24;
const NOTSENT_OFFSET = 144;
const SEND_WINDOW_OFFSET = 228;
const INFO_BYTES = 232;

/** tcpi_state of a connection that is over (net/tcp_states.h). */
const TCP_CLOSE = 7;

const info = new FixedMemory(INFO_BYTES);
const length = new FixedMemory(4);

/** TCP_INFO of a socket; null when `fd` is not a TCP socket. One system call, under a microsecond. */
export function readTcpInfo(fd: number): TcpInfo | null {
  length.words[0] = INFO_BYTES;
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info.address, length.address) < 0) return null;
  return {
    unackedSegments: field(UNACKED_OFFSET),
    notSentBytes: field(NOTSENT_OFFSET),
    sendWindowBytes: field(SEND_WINDOW_OFFSET),
    sendSegmentBytes: field(SEGMENT_OFFSET),
  };
}

/** False when the connection has ended, by RST or for want of answers; also when `fd` is not a TCP socket. */
export function isConnected(fd: number): boolean {
  length.words[0] = INFO_BYTES;
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info.address, length.address) < 0) return false;
  return info.bytes[STATE_OFFSET] !== TCP_CLOSE;
}

function field(offset: number): number {
  return (info.words[offset / 4] ?? 0) >>> 0;
}

/**
 * Takes the error that waits at a socket (socket(7), SO_ERROR): its errno, 0 for none. Whoever reads from the socket
 * next does not get it any more.
 */
export function takeSocketError(fd: number): number {
  length.words[0] = 4;
  if (libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, info.address, length.address) < 0) return 0;
  return info.words[0] ?? 0;
}
