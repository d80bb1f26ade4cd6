/**
 * What is left when other threads of the process hang: one line to standard error, and the end. Works in any thread.
 */
import { libc } from '../net/libc.ts';

const STDERR = 2;
/** struct pollfd: descriptor, wanted events, events. */
const POLLFD_BYTES = 8;
const POLLOUT = 4;
/** Writes of up to this are one (PIPE_BUF in pipe(7)); a pipe that is ready for writing has room for it. */
const LINE_BYTES = 4096;

/** Writes one line, cut at 4 KiB, to standard error; false when that would block, or fails. */
export function writeEmergencyLine(text: string): boolean {
  const poll = Buffer.alloc(POLLFD_BYTES);
  poll.writeInt32LE(STDERR, 0);
  poll.writeInt16LE(POLLOUT, 4);
  if (libc.poll(poll, 1, 0) !== 1 || (poll.readInt16LE(6) & POLLOUT) === 0) return false;
  const line = Buffer.from(`${text}\n`).subarray(0, LINE_BYTES);
  return libc.write(STDERR, line, line.length) === line.length;
}

/** Ends the process at once, also when a thread of it is stuck in a system call, for which process.exit() waits. */
export function endAtOnce(code: number): never {
  libc.exit(code);
  throw new Error('_exit(2) has returned');
}
