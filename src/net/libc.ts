/**
 * The C library's functions that Node does not offer, each declared once, through FFI; and the names of its errors.
 * Works in any thread.
 *
 * A function that fails returns minus its errno, as the kernel's system calls do: it is read where the call is made,
 * before anything else in the thread can change it. No call allocates when its memory is given as an address
 * (FixedMemory): the proxy makes hundreds of thousands of calls a second.
 */
import { getSystemErrorName } from 'node:util';

import koffi from 'koffi';

import { EIO, LAST_ERRNO } from './linux.ts';
import { NetError } from './net-error.ts';

/** The symbols of the process itself, so of the C library that Node is linked with. */
const symbols = koffi.load(null);

/** Octets, or the address of octets that stay where they are, 0 for none. */
type Memory = Uint8Array | number;
type Call<Parameters extends readonly unknown[]> = (...parameters: Parameters) => number;

function declare<Parameters extends readonly unknown[]>(prototype: string): Call<Parameters> {
  const call = symbols.func(prototype) as Call<Parameters>;
  return (...parameters) => {
    const result = call(...parameters);
    // Whatever has changed errno meanwhile: a call that failed must not look like one that returned 0.
    return result === -1 ? -(koffi.errno() || EIO) : result;
  };
}

/** Null where this C library does not have the function. */
function declareOptional<Parameters extends readonly unknown[]>(prototype: string): Call<Parameters> | null {
  try {
    return symbols.func(prototype) as Call<Parameters>;
  } catch {
    return null;
  }
}

export const libc = {
  socket: declare<[domain: number, type: number, protocol: number]>(
    'int socket(int domain, int type, int protocol)',
  ),
  bind: declare<[fd: number, address: Memory, addressBytes: number]>(
    'int bind(int fd, const void *address, uint length)',
  ),
  listen: declare<[fd: number, backlog: number]>('int listen(int fd, int backlog)'),
  accept4: declare<[fd: number, address: Memory, addressBytes: Memory, flags: number]>(
    'int accept4(int fd, void *address, void *length, int flags)',
  ),
  connect: declare<[fd: number, address: Memory, addressBytes: number]>(
    'int connect(int fd, const void *address, uint length)',
  ),
  getsockname: declare<[fd: number, address: Memory, addressBytes: Memory]>(
    'int getsockname(int fd, void *address, void *length)',
  ),
  getpeername: declare<[fd: number, address: Memory, addressBytes: Memory]>(
    'int getpeername(int fd, void *address, void *length)',
  ),
  setsockopt: declare<[fd: number, level: number, name: number, value: Memory, valueBytes: number]>(
    'int setsockopt(int fd, int level, int name, const void *value, uint length)',
  ),
  getsockopt: declare<[fd: number, level: number, name: number, value: Memory, valueBytes: Memory]>(
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  ),
  recv: declare<[fd: number, into: Memory, bytes: number, flags: number]>(
    'int64_t recv(int fd, void *data, size_t length, int flags)',
  ),
  send: declare<[fd: number, data: Memory, bytes: number, flags: number]>(
    'int64_t send(int fd, const void *data, size_t length, int flags)',
  ),
  sendto: declare<
    [fd: number, data: Memory, bytes: number, flags: number, address: Memory, addressBytes: number]
  >(
    'int64_t sendto(int fd, const void *data, size_t length, int flags, const void *address, uint addressLength)',
  ),
  splice: declare<
    [from: number, fromOffset: Memory, to: number, toOffset: Memory, bytes: number, flags: number]
  >('int64_t splice(int from, void *fromOffset, int to, void *toOffset, size_t length, uint flags)'),
  pipe2: declare<[fds: Memory, flags: number]>('int pipe2(void *fds, int flags)'),
  /** fcntl(2) of a command that takes a number. */
  fcntl: declare<[fd: number, command: number, argument: number]>(
    'int fcntl(int fd, int command, int argument)',
  ),
  shutdown: declare<[fd: number, how: number]>('int shutdown(int fd, int how)'),
  close: declare<[fd: number]>('int close(int fd)'),
  clock_gettime: declare<[clock: number, time: Memory]>('int clock_gettime(int clock, void *time)'),
  epollCreate1: declare<[flags: number]>('int epoll_create1(int flags)'),
  epollCtl: declare<[epoll: number, operation: number, fd: number, event: Memory]>(
    'int epoll_ctl(int epoll, int operation, int fd, void *event)',
  ),
  epollWait: declare<[epoll: number, events: Memory, maxEvents: number, timeoutMs: number]>(
    'int epoll_wait(int epoll, void *events, int max, int timeoutMs)',
  ),
  /** syscall(2), for what glibc wraps late, or for the calling thread alone. */
  syscall: declare<[number: number, first: number, second: Memory, third: number]>(
    'long syscall(long number, int64_t first, const void *second, uint third)',
  ),
  /** pthread_sigmask(3), of the calling thread. */
  pthreadSigmask: declare<[how: number, set: Memory, old: null]>(
    'int pthread_sigmask(int how, const void *set, void *old)',
  ),
  /** signal(2), with SIG_DFL (0) or SIG_IGN (1). */
  signal: declare<[number: number, handler: number]>('intptr_t signal(int number, intptr_t handler)'),
  write: declare<[fd: number, data: Memory, bytes: number]>(
    'int64_t write(int fd, const void *data, size_t length)',
  ),
  poll: declare<[descriptors: Memory, count: number, timeoutMs: number]>(
    'int poll(void *descriptors, ulong count, int timeoutMs)',
  ),
  exit: declare<[status: number]>('void _exit(int status)'),
  /** Only glibc has it. */
  mallocTrim: declareOptional<[padBytes: number]>('int malloc_trim(size_t pad)'),
  strerror: symbols.func('const char *strerror(int number)') as (number: number) => string,
};

/** The error of a call that returned `result`, minus its errno; `what` is the sentence up to the reason. */
export function callError(result: number, what: string): NetError {
  return new NetError(errnoCode(-result), `${what}: ${libc.strerror(-result)}`);
}

/** The result of a call, which must not fail. Throws NetError; `what` is the sentence up to the reason. */
export function required(result: number, what: string): number {
  if (result < 0) throw callError(result, what);
  return result;
}

/** 'EPERM' for 1, and so on. */
export function errnoCode(number: number): string {
  return getSystemErrorName(-number);
}

const codeByText = new Map<string, string>();

/**
 * The code of an error of which a library kept only strerror's text: strerror itself, inverted, so that nothing here
 * depends on its wording or language. 'EIO' when the text is not strerror's.
 */
export function errnoCodeOfText(text: string): string {
  if (codeByText.size === 0) {
    for (let number = 1; number <= LAST_ERRNO; number += 1)
      codeByText.set(libc.strerror(number), errnoCode(number));
  }
  return codeByText.get(text) ?? 'EIO';
}

/** An address in this process's memory, for structures that hold pointers. `memory` must outlive its use. */
export function addressOf(memory: Uint8Array): bigint {
  return koffi.address(memory);
}

/** Memory whose address stays as it is: an ArrayBuffer of its own lies outside the heap that is compacted. */
export class FixedMemory {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** For calls that take memory; valid as long as this object is reachable. */
  readonly address: number;

  /** `sizeBytes` is a multiple of 4. */
  constructor(sizeBytes: number) {
    const memory = new ArrayBuffer(sizeBytes);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    // User space ends below 2^47 (x86-64) or 2^48 (arm64), so an address is an exact number.
    this.address = Number(addressOf(this.bytes));
  }
}

export type DescriptorPoll = ReturnType<typeof koffi.node.poll>;

/**
 * Calls `onReady` from the event loop when `fd` can be read. The poll ends when it is closed, or when it is
 * garbage-collected. An exception that `onReady` throws would hang the process.
 */
export function pollDescriptor(fd: number, onReady: () => void): DescriptorPoll {
  return koffi.node.poll(fd, onReady);
}
