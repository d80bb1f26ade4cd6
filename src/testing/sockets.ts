/** What the kernel says of this process's descriptors and of connections on this host. */
import { readdirSync, readFileSync } from 'node:fs';
import { after, beforeEach } from 'node:test';
import { libc, required } from '../net/libc.ts';
import { isListening, localAddress } from '../proxy/driver/tcp-socket.ts';
import { until } from './until.ts';

const SHUT_RDWR = 2;

export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

/** A line of /proc/net/tcp as its words: local and remote `address:port` in hexadecimal, and the state. */
function connectionsOf(port: number, state: string): string[][] {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => readFileSync(path, 'utf8').split('\n'));
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote, is]) => is === state && `${local} ${remote}`.includes(hexPort));
}

/** Connections in CLOSE_WAIT (state 08) with this local or remote port: a FIN that nobody answered. */
export function closeWaits(port: number): number {
  return connectionsOf(port, '08').length;
}

/** Connections to this port that the kernel has established (state 01), whether anybody has accepted them or not. */
export function establishedTo(port: number): number {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return connectionsOf(port, '01').filter(([, , remote]) => remote?.endsWith(hexPort)).length;
}

/** Bytes that wait in the queues of the sockets that have this port: to be sent, and to be read. */
export function queuedBytes(port: number): { readonly unsent: number; readonly unread: number } {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const queues = connectionsOf(port, '01')
    .filter(([, own]) => own?.endsWith(hexPort) === true)
    .map(([, , , , queue = '0:0']) => queue.split(':').map((hex) => Number.parseInt(hex, 16)));
  const sum = (index: number): number => queues.reduce((total, queue) => total + (queue[index] ?? 0), 0);
  return { unsent: sum(0), unread: sum(1) };
}

/** Closes this process's listener of a port under its owner, as SOCK_DESTROY does for somebody else. */
export function shutListener(port: number): void {
  const fds = readdirSync('/proc/self/fd').map(Number);
  const listener = fds.find((fd) => isListening(fd) && localAddress(fd).port === port);
  if (listener === undefined) throw new Error(`no listener of port ${port} is open`);
  required(libc.shutdown(listener, SHUT_RDWR), `cannot shut the listener of port ${port}`);
}

/**
 * Fails each test of the file that leaves a descriptor open. Open files before the first one do not count: what the
 * process opens once and keeps is no leak.
 */
export function watchDescriptors(): void {
  const filesBefore: number[] = [];
  const nothingLeft = async (): Promise<void> => {
    const [, expected = Number.POSITIVE_INFINITY] = filesBefore;
    await until(
      () => openFiles() <= expected,
      () => `the last test leaves ${openFiles()} files, not ${expected}`,
    );
  };
  beforeEach(async () => {
    filesBefore.push(openFiles());
    await nothingLeft();
  });
  after(nothingLeft);
}
