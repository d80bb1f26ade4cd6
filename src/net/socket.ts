/** Sockets as descriptors: the one way to make them, and how their options are set. Works in any thread. */
import { type SocketFilter, withFilterProgram } from './bpf.ts';
import { FixedMemory, libc, required } from './libc.ts';
import { NONBLOCK_CLOEXEC, SO_ATTACH_FILTER, SOL_SOCKET } from './linux.ts';

/** socket(2): a family (AF_...), a type (SOCK_...), and a protocol of that family, 0 for its usual one. */
export type SocketKind = { readonly domain: number; readonly type: number; readonly protocol?: number };

/** A new socket that never blocks, and that no program which this process starts inherits; or minus an errno. */
export function newSocket({ domain, type, protocol = 0 }: SocketKind): number {
  return libc.socket(domain, type | NONBLOCK_CLOEXEC, protocol);
}

/**
 * A new socket that `prepare` has made ready: when that throws, it is closed. `what` is the sentence up to the reason
 * why there is none. Throws NetError, and what `prepare` throws.
 */
export function openSocket(kind: SocketKind, what: string, prepare: (fd: number) => void): number {
  const fd = required(newSocket(kind), what);
  try {
    prepare(fd);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

const value = new FixedMemory(4);

/** setsockopt(2) of an option that is an int: 0, or minus an errno. */
export function setOption(fd: number, level: number, name: number, number: number): number {
  value.words[0] = number;
  return libc.setsockopt(fd, level, name, value.address, 4);
}

/** Attaches a filter, or for another `option` a program of another kind. Throws NetError. */
export function attachProgram(
  fd: number,
  filter: SocketFilter,
  what: string,
  option: number = SO_ATTACH_FILTER,
): void {
  withFilterProgram(filter, (program) => {
    required(libc.setsockopt(fd, SOL_SOCKET, option, program, program.length), what);
  });
}
