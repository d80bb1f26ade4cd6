/**
 * Keeps room for one more connection to an HTTP server: when there are too many, one that waits for nothing ends, not
 * the new one. Otherwise any local user could keep kubelet's probe out by holding silent connections, and kubelet would
 * restart a healthy daemon.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { monotonicMs } from '../runtime/clock.ts';

/** kubelet, a scraper and an operator are few: from this number on, connections that rest end. */
const ENOUGH = 64;
/** A new connection may have its request in the kernel's buffer still. */
const GRACE_MS = 250;
/** Beyond this number no connection has any grace. */
const MOST = 128;

export type ConnectionUse = {
  /** A request of it is being answered. */
  readonly isBusy: boolean;
  /** When it was opened, or its latest request began or ended (monotonicMs). */
  readonly sinceMs: number;
};

/** The connection that ends before one more is opened; null when there is room for it. Pure. */
export function connectionToEnd<Key>(uses: ReadonlyMap<Key, ConnectionUse>, nowMs: number): Key | null {
  if (uses.size < ENOUGH) return null;
  let chosen: { readonly key: Key; readonly use: ConnectionUse } | null = null;
  for (const [key, use] of uses) if (chosen === null || goesBefore(use, chosen.use)) chosen = { key, use };
  if (chosen === null) return null;
  const isSpared = uses.size < MOST && nowMs - chosen.use.sinceMs < GRACE_MS;
  return isSpared ? null : chosen.key;
}

function goesBefore(a: ConnectionUse, b: ConnectionUse): boolean {
  return a.isBusy === b.isBusy ? a.sinceMs < b.sinceMs : b.isBusy;
}

/** To be called before the server listens. */
export function keepRoom(server: Server): void {
  const uses = new Map<Socket, ConnectionUse>();
  const note = (socket: Socket, isBusy: boolean): void => {
    if (uses.has(socket)) uses.set(socket, { isBusy, sinceMs: monotonicMs() });
  };
  server.on('connection', (socket) => {
    const ending = connectionToEnd(uses, monotonicMs());
    if (ending !== null) {
      uses.delete(ending);
      ending.destroy();
    }
    uses.set(socket, { isBusy: false, sinceMs: monotonicMs() });
    socket.once('close', () => uses.delete(socket));
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    note(socket, true);
    response.once('close', () => note(socket, false));
  });
}
