/** What clients of a proxy do, and what backends do likewise: at either end of a connection. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';

export const MIB = 1024 * 1024;

/** How a socket ended: 'fin', or the code of its error. Reads it, so it must not be paused. */
export function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('end', () => resolve('fin'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.resume();
  });
}

export async function roundTrip(client: Socket, text = 'ping'): Promise<void> {
  const answer = once(client, 'data');
  client.write(text);
  assert.equal(String((await answer)[0]), text);
}

/** Sends `totalBytes` of random data in chunks of random size, with backpressure; returns its SHA-256. */
export async function sendRandom(socket: Socket, totalBytes: number): Promise<string> {
  const hash = createHash('sha256');
  const source = randomBytes(2 * MIB);
  let leftBytes = totalBytes;
  while (leftBytes > 0) {
    const bytes = Math.min(leftBytes, randomInt(1, randomInt(2, 300_000)));
    const start = randomInt(source.length - bytes);
    const chunk = source.subarray(start, start + bytes);
    hash.update(chunk);
    leftBytes -= bytes;
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

export async function receiveAll(socket: Socket): Promise<{ readonly hash: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash: hash.digest('hex'), bytes };
}

/** Writes `totalBytes` as fast as the socket takes them; `sentBytes` tells how many that were so far. */
export function stream(socket: Socket, totalBytes: number): { sentBytes: () => number } {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let sent = 0;
  const fill = (): void => {
    while (sent < totalBytes && !socket.destroyed) {
      sent += chunk.length;
      if (!socket.write(chunk)) return;
    }
  };
  socket.on('drain', fill);
  fill();
  return { sentBytes: () => sent };
}

/** Both send at once, in random chunks, and end; what arrives is what was sent. */
export async function exchange(one: Socket, other: Socket, totalBytes: number): Promise<void> {
  const [sent, received, otherSent, otherReceived] = await Promise.all([
    sendRandom(one, totalBytes),
    receiveAll(one),
    sendRandom(other, totalBytes),
    receiveAll(other),
  ]);
  assert.deepEqual(received, { hash: otherSent, bytes: totalBytes });
  assert.deepEqual(otherReceived, { hash: sent, bytes: totalBytes });
}

/** Plays a client `times` times, `atOnce` of them at a time; each is told how many are still to come. */
export async function playClients(
  times: number,
  atOnce: number,
  play: (left: number) => Promise<void>,
): Promise<void> {
  let left = times;
  const run = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await play(left);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, run));
}
