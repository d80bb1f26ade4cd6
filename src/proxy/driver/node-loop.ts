/** Node's own event loop as a descriptor, for a thread that waits somewhere else. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

/**
 * The epoll descriptor on which the event loop of the calling thread waits (libuv's uv_backend_fd, made for this use;
 * Node offers no way to it). It is readable when the loop has something to do, timers aside. It must not be changed or
 * closed.
 *
 * Found by what it watches: the loop is given a socket, and /proc/self/fdinfo tells who watches that one (proc(5),
 * tfd).
 */
export async function nodeLoopDescriptor(): Promise<number> {
  // A Unix socket without a path: needs no address, no folder and no right to either.
  const server = createServer().listen(`\0kube-vrrp-${randomUUID()}`);
  await once(server, 'listening');
  await turn(); // the loop begins to watch when it next polls
  await turn();
  try {
    // oxlint-disable-next-line no-underscore-dangle -- the only way to the descriptor
    const watched = (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
    const found = readdirSync('/proc/self/fd')
      .map(Number)
      .find((fd) => isEpollOf(fd, watched));
    if (found === undefined) throw new Error('/proc/self/fdinfo does not show the epoll descriptor of Node');
    return found;
  } finally {
    server.close();
  }
}

function isEpollOf(fd: number, watched: number): boolean {
  try {
    if (readlinkSync(`/proc/self/fd/${fd}`) !== 'anon_inode:[eventpoll]') return false;
    return new RegExp(`^tfd:\\s+${watched}\\s`, 'm').test(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  } catch {
    return false; // another thread has closed it meanwhile
  }
}
