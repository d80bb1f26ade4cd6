/**
 * A netlink(7) socket for changes. The kernel makes a change within the system call that asks for it, and its answer is
 * queued when that returns. The call waits for the kernel's configuration lock (rtnl) for as long as another program
 * holds it, so it belongs in a thread that may wait.
 */
import { callError, libc, required } from './libc.ts';
import { AF_NETLINK, NETLINK_ROUTE, NLMSG_ERROR, SOCK_RAW } from './linux.ts';
import { NetError } from './net-error.ts';
import { openSocket } from './socket.ts';

// struct nlmsghdr (linux/netlink.h)
const HEADER_BYTES = 16;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
/** The header of the answer, its error number, and the request that it quotes. */
const ANSWER_BYTES = 1024;
const MAX_SEQUENCE = 0x7fffffff;

export class CommandSocket {
  readonly #fd: number;
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #sequence = 0;
  #closed = false;

  /** Throws NetError. */
  constructor() {
    const kind = { domain: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_ROUTE };
    this.#fd = openSocket(kind, 'cannot open a netlink socket', () => {});
  }

  /**
   * Asks for one change. Returns the kernel's error number, 0 when it is done. Throws NetError when there is no answer.
   */
  command(type: number, flags: number, payload: Uint8Array): number {
    if (this.#closed) throw new NetError('ECANCELED', 'rtnetlink is closed');
    this.#sequence = (this.#sequence % MAX_SEQUENCE) + 1;
    const request = Buffer.alloc(HEADER_BYTES + payload.length);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt16LE(type, 4);
    request.writeUInt16LE(flags | NLM_F_REQUEST | NLM_F_ACK, 6);
    request.writeUInt32LE(this.#sequence, 8);
    request.set(payload, HEADER_BYTES);
    required(libc.send(this.#fd, request, request.length, 0), 'cannot ask rtnetlink');
    return this.#answerTo(this.#sequence);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.close(this.#fd);
  }

  #answerTo(sequence: number): number {
    for (;;) {
      const bytes = libc.recv(this.#fd, this.#answer, this.#answer.length, 0);
      if (bytes < 0) throw callError(bytes, 'rtnetlink has not answered');
      const isAnswer = bytes >= HEADER_BYTES + 4 && this.#answer.readUInt16LE(4) === NLMSG_ERROR;
      if (isAnswer && this.#answer.readUInt32LE(8) === sequence)
        return -this.#answer.readInt32LE(HEADER_BYTES);
    }
  }
}
