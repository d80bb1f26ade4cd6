/**
 * Lives in a host's namespace for as long as the host does. It keeps the namespace's /proc/PID/net reachable for the
 * sampler, and joins a unix socket (argument 1), which the lab can reach, to a TCP port of the host's loopback
 * (argument 2).
 */
import { createConnection, createServer } from 'node:net';

const [socketPath = '', port = ''] = process.argv.slice(2);

const server = createServer((near) => {
  const far = createConnection({ host: '127.0.0.1', port: Number(port) });
  near.pipe(far).pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
});
server.listen(socketPath, () => console.log('ready'));
