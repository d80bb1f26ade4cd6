/** The C library's calls that Node does not offer, through FFI, and the names of its errors. Works in any thread. */
import { getSystemErrorName } from 'node:util';

import koffi from 'koffi';

import { errno } from './errno.ts';
import { NetError } from './net-error.ts';

/** The symbols of the process itself, so whichever C library Node was linked with. */
const symbols = koffi.load(null);

/** Null where this C library does not have the function. */
function optional(prototype: string): ReturnType<typeof symbols.func> | null {
  try {
    return symbols.func(prototype);
  } catch {
    return null;
  }
}

export const libc = {
  socket: symbols.func('int socket(int domain, int type, int protocol)') as (
    domain: number,
    type: number,
    protocol: number,
  ) => number,
  bind: symbols.func('int bind(int fd, const void *address, uint length)') as (
    fd: number,
    address: Uint8Array,
    length: number,
  ) => number,
  listen: symbols.func('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number,
  send: symbols.func('intptr_t send(int fd, const void *data, size_t length, int flags)') as (
    fd: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  sendto: symbols.func(
    'intptr_t sendto(int fd, const void *data, size_t length, int flags, const void *address, uint addressLength)',
    // oxlint-disable-next-line max-params -- the C library's own (send(2))
  ) as (
    fd: number,
    data: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ) => number,
  recv: symbols.func('intptr_t recv(int fd, void *data, size_t length, int flags)') as (
    fd: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  close: symbols.func('int close(int fd)') as (fd: number) => number,
  setsockopt: symbols.func('int setsockopt(int fd, int level, int name, const void *value, uint length)') as (
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: number,
  ) => number,
  /** syscall(2), for sched_setattr(2). */
  syscall: symbols.func('long syscall(long number, int pid, const void *attributes, uint flags)') as (
    number: number,
    pid: number,
    attributes: Uint8Array,
    flags: number,
  ) => number,
  /** glibc and nobody else has it. */
  mallocTrim: optional('int malloc_trim(size_t pad)') as ((pad: number) => number) | null,
  strerror: symbols.func('const char *strerror(int number)') as (number: number) => string,
};

/** The error that the call just made left in errno; `what` is the sentence up to the reason. */
export function lastError(what: string): NetError {
  const number = errno();
  return new NetError(errnoCode(number), `${what}: ${libc.strerror(number)}`);
}

/** 'EPERM' for 1, and so on. */
export function errnoCode(number: number): string {
  return getSystemErrorName(-number);
}

/** Linux numbers its errors from 1 to 133 (asm-generic/errno.h). */
const LAST_ERRNO = 133;
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
