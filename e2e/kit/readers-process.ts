/**
 * Many clients that only read: each opens a connection, says nothing, and opens the next one when that ends. Prints a
 * line of JSON for each beginning and end. Argument 1: a `ReadersTask` as JSON.
 */
import { connect } from 'node:net';

import { monotonicMs } from '../../src/runtime/clock.ts';
import type { ReaderRecord, ReadersTask } from './readers.ts';

/** Slow enough for the backlog of whoever accepts them, on a busy machine. */
const STARTS_PER_MS = 2;
const RETRY_MS = 20;

const { host, port, count } = JSON.parse(process.argv[2] ?? '') as ReadersTask;

function print(record: ReaderRecord): void {
  console.log(JSON.stringify(record));
}

function read(reader: number): void {
  const socket = connect({ host, port });
  let reason = 'end';
  socket.once('connect', () => print({ reader, atMs: monotonicMs(), ended: null }));
  socket.on('data', () => {});
  socket.on('error', (error: NodeJS.ErrnoException) => (reason = error.code ?? error.message));
  socket.on('close', () => {
    print({ reader, atMs: monotonicMs(), ended: reason });
    setTimeout(() => read(reader), RETRY_MS);
  });
}

for (let reader = 0; reader < count; reader += 1) setTimeout(() => read(reader), reader / STARTS_PER_MS);
