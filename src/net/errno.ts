/** Why the last call through koffi failed. It must be read before the next call of this thread. */
import koffi from 'koffi';

/** The number that the call left in errno(3). */
export function errno(): number {
  return koffi.errno();
}

// asm-generic/errno.h: the same on x86-64 and arm64.
export const EINTR = 4;
export const EAGAIN = 11;
export const ENFILE = 23;
export const EMFILE = 24;
export const EINPROGRESS = 115;
