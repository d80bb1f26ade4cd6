/** Socket options that Node does not offer, on the descriptor of an open socket. Works in any thread. */
import { lastError, libc } from './libc.ts';

const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;

/**
 * How long sent data may stay unacknowledged, in whole milliseconds, before the kernel ends the connection with
 * ETIMEDOUT (tcp(7); RFC 5482). 0 is the system's default, about 15 minutes. Throws NetError: EBADF, ENOTSOCK.
 */
export function setTcpUserTimeoutMs(fd: number, timeoutMs: number): void {
  const value = Buffer.alloc(4);
  value.writeUInt32LE(Math.round(timeoutMs));
  if (libc.setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value, value.length) === -1) {
    throw lastError(`cannot set TCP_USER_TIMEOUT on descriptor ${fd}`);
  }
}

/**
 * Lets further sockets of this user bind the same port (SO_REUSEPORT, socket(7)). Set on a listener that has its port
 * already it keeps the check that nobody else had it before. Throws NetError: EBADF, ENOTSOCK.
 */
export function sharePort(fd: number): void {
  const value = Buffer.alloc(4);
  value.writeUInt32LE(1);
  if (libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, value, value.length) === -1) {
    throw lastError(`cannot set SO_REUSEPORT on descriptor ${fd}`);
  }
}
