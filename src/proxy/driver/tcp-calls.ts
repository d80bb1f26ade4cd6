/**
 * System calls on TCP sockets, pipes and epoll for a data path that makes hundreds of thousands of them a second:
 * declared once, with numbers as arguments, so that no call allocates. Works in any thread. A call that fails returns -1
 * and leaves its reason in `errno()` (errno.ts), which must be read before the next call.
 */
import koffi from 'koffi';

/** The symbols of the process itself, so whichever C library Node was linked with. */
const symbols = koffi.load(null);

/** Memory whose address stays as it is: an ArrayBuffer of its own lies outside the heap that is compacted. */
export class FixedMemory {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** For calls that take a pointer; valid as long as this object is reachable. */
  readonly address: number;

  /** `sizeBytes` is a multiple of 4. */
  constructor(sizeBytes: number) {
    const memory = new ArrayBuffer(sizeBytes);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    // User space ends below 2^47 (x86-64) or 2^48 (arm64), so an address is an exact number.
    this.address = Number(koffi.address(this.bytes));
  }
}

type Call<Parameters extends number[]> = (...parameters: Parameters) => number;

export const calls = {
  socket: symbols.func('int socket(int domain, int type, int protocol)') as Call<[number, number, number]>,
  bind: symbols.func('int bind(int fd, uintptr_t address, uint length)') as Call<[number, number, number]>,
  listen: symbols.func('int listen(int fd, int backlog)') as Call<[number, number]>,
  accept4: symbols.func('int accept4(int fd, uintptr_t address, uintptr_t length, int flags)') as Call<
    [number, number, number, number]
  >,
  connect: symbols.func('int connect(int fd, uintptr_t address, uint length)') as Call<
    [number, number, number]
  >,
  getsockname: symbols.func('int getsockname(int fd, uintptr_t address, uintptr_t length)') as Call<
    [number, number, number]
  >,
  getpeername: symbols.func('int getpeername(int fd, uintptr_t address, uintptr_t length)') as Call<
    [number, number, number]
  >,
  setsockopt: symbols.func(
    'int setsockopt(int fd, int level, int name, uintptr_t value, uint length)',
  ) as Call<[number, number, number, number, number]>,
  recv: symbols.func('int64_t recv(int fd, uintptr_t data, size_t length, int flags)') as Call<
    [number, number, number, number]
  >,
  send: symbols.func('int64_t send(int fd, uintptr_t data, size_t length, int flags)') as Call<
    [number, number, number, number]
  >,
  write: symbols.func('int64_t write(int fd, uintptr_t data, size_t length)') as Call<
    [number, number, number]
  >,
  splice: symbols.func(
    'int64_t splice(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, uint flags)',
  ) as Call<[number, number, number, number, number, number]>,
  pipe2: symbols.func('int pipe2(uintptr_t fds, int flags)') as Call<[number, number]>,
  shutdown: symbols.func('int shutdown(int fd, int how)') as Call<[number, number]>,
  close: symbols.func('int close(int fd)') as Call<[number]>,
  epollCreate1: symbols.func('int epoll_create1(int flags)') as Call<[number]>,
  epollCtl: symbols.func('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)') as Call<
    [number, number, number, number]
  >,
  epollWait: symbols.func('int epoll_wait(int epoll, uintptr_t events, int max, int timeoutMs)') as Call<
    [number, number, number, number]
  >,
};

// linux/net.h, fcntl.h, linux/socket.h, tcp.h and splice(2).
export const SOCK_STREAM = 1;
export const NONBLOCK_CLOEXEC = 0o2_004_000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_USER_TIMEOUT = 18;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const SHUT_WR = 1;
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_NOSIGNAL = 0x4000;
export const SPLICE_MOVE_NONBLOCK = 0x3;

const option = new FixedMemory(8);

/** setsockopt(2) of an option that is an int; false when it fails. */
export function setOption(fd: number, level: number, name: number, value: number): boolean {
  option.words[0] = value;
  return calls.setsockopt(fd, level, name, option.address, 4) === 0;
}

/** Closes a connection with RST: what waits in its buffers is dropped (socket(7), SO_LINGER with a time of 0). */
export function closeWithReset(fd: number): void {
  option.words[0] = 1;
  option.words[1] = 0;
  calls.setsockopt(fd, SOL_SOCKET, SO_LINGER, option.address, 8);
  calls.close(fd);
}
