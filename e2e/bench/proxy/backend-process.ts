/**
 * The far end of the benchmark's long connections, on 127.0.0.1. Argument: the port. A client's first line says what it
 * wants: `down BYTES`, `up` (read until FIN, then answer with one byte), or `hold` (one byte, then silence).
 */
import { createServer, type Socket } from 'node:net';

const CHUNK = Buffer.alloc(1024 * 1024, 'x');

function send(socket: Socket, totalBytes: number): void {
  let leftBytes = totalBytes;
  const fill = (): void => {
    while (leftBytes > 0) {
      const bytes = Math.min(leftBytes, CHUNK.length);
      leftBytes -= bytes;
      if (!socket.write(CHUNK.subarray(0, bytes))) return;
    }
    socket.end();
  };
  socket.on('drain', fill);
  fill();
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.once('data', (first) => {
    const [verb, bytes] = first.toString('latin1', 0, 64).split('\n', 1)[0]?.split(' ') ?? [];
    if (verb === 'down') send(socket, Number(bytes));
    else if (verb === 'hold') socket.write('.');
    socket.resume();
    socket.once('end', () => socket.end(verb === 'up' ? '.' : ''));
  });
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 }, () =>
  console.log('listening'),
);
