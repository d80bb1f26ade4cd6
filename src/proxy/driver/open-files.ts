/** How many clients the process's limit on open files allows. */
import { readFileSync } from 'node:fs';

/** Of each proxy thread: lent only while bytes are in flight, and a slow receiver holds one. */
export const MAX_PIPES = 128;
/** Descriptors left for everything that is not a client, its backend connection or a pipe. */
const RESERVED_FILES = 256;
const FILES_PER_CLIENT = 2;
const FILES_PER_PIPE = 2;
const MIN_CLIENTS = 16;
/** Bounds the kernel's memory where the file limit is a million: each stalled client has full socket buffers. */
const MAX_CLIENTS = 65_536;

/** Clients that `workers` proxy threads can have together, 16 to 65,536. */
export function clientsByOpenFiles(workers: number, files: number = openFilesLimit()): number {
  const left = files - RESERVED_FILES - workers * MAX_PIPES * FILES_PER_PIPE;
  return Math.min(MAX_CLIENTS, Math.max(MIN_CLIENTS, Math.floor(left / FILES_PER_CLIENT)));
}

/** RLIMIT_NOFILE; Node raises the soft limit to the hard one when it starts. */
function openFilesLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? 1024);
}
