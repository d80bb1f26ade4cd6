/** Makes room for the control socket, and takes nothing from anybody. */
import { type Stats, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { errorText } from '../log/error-text.ts';
import { Obstacle } from './obstacle.ts';

const WRITABLE_BY_OTHERS = 0o022;

/**
 * Makes the folder, and removes the socket of an earlier run. Rejects with an Obstacle while a program listens on it,
 * and with an Error where something else is: what it is, as the middle of a sentence.
 */
export async function makeRoomForSocket(path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw new Error(errorText(error), { cause: error });
  }
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const kind = kindOf(stats);
  if (kind !== 'socket') throw new Error(`a ${kind} is there`);
  if (await isListening(path))
    throw new Obstacle(`another program listens on ${path}: end it, or set admin.socket to another path`);
  // Only the daemon's own user has made it, and nobody else may use it: what a container runtime leaves is neither.
  if (stats.uid !== process.getuid?.() || (stats.mode & WRITABLE_BY_OTHERS) !== 0)
    throw new Error('the socket of another program is there');
  unlinkSync(path);
}

function kindOf(stats: Stats): string {
  if (stats.isSocket()) return 'socket';
  if (stats.isFile()) return 'regular file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symbolic link' : 'special file';
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // A full queue, or a socket that this user may not use, is somebody's.
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
    );
  });
}
