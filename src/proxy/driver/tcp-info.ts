/** What the kernel knows of a TCP connection that nobody reads from or writes to (getsockopt TCP_INFO, tcp(7)). */
import koffi from 'koffi';

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
const SEGMENT_OFFSET = 16;
const UNACKED_OFFSET = 24;
const NOTSENT_OFFSET = 144;
const SEND_WINDOW_OFFSET = 228;
const INFO_BYTES = 232;

const SOL_SOCKET = 1;
const SO_ERROR = 4;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;

const getsockopt = koffi
  .load(null) // the symbols of the process itself, so whichever C library Node was linked with
  .func('int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)');
const info = Buffer.alloc(INFO_BYTES);
const errno = Buffer.alloc(4);
const length = new Uint32Array(1);

/** TCP_INFO of a socket; null when `fd` is not a TCP socket. One system call, under a microsecond. */
export function readTcpInfo(fd: number): TcpInfo | null {
  length[0] = INFO_BYTES;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0) return null;
  return {
    unackedSegments: info.readUInt32LE(UNACKED_OFFSET),
    notSentBytes: info.readUInt32LE(NOTSENT_OFFSET),
    sendWindowBytes: info.readUInt32LE(SEND_WINDOW_OFFSET),
    sendSegmentBytes: info.readUInt32LE(SEGMENT_OFFSET),
  };
}

/**
 * Takes the error that waits at a socket (socket(7), SO_ERROR): its errno, 0 for none. Whoever reads from the socket
 * next does not get it any more.
 */
export function takeSocketError(fd: number): number {
  length[0] = errno.length;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, errno, length) === 0 ? errno.readInt32LE() : 0;
}
