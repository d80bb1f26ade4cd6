/** One direction of a relayed connection: bytes and FIN of one socket go to another. */
import { FixedMemory, libc } from '../../net/libc.ts';
import { EAGAIN, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, SHUT_WR, SPLICE_MOVE_NONBLOCK } from '../../net/linux.ts';
import { type Pipe, PIPE_BYTES, PipePool } from './pipe-pool.ts';

/**
 * What a flow is after it has done what it could: waiting for a socket, not through with its turn, ended, or broken.
 */
export type FlowState = 'waiting' | 'busy' | 'ended' | 'broken';

/** So many pipefuls at most, and then others have their turn: 256 KiB, a tenth of a millisecond or so. */
const ROUNDS_PER_TURN = 4;
/** A splice that brings less than this would have been cheaper as a copy. */
const SMALL_BYTES = PIPE_BYTES / 4;

/** What all flows of a thread share: one turn at a time needs it. */
export type FlowMemory = { readonly pipes: PipePool; readonly buffer: FixedMemory };

export function createFlowMemory(maxPipes: number): FlowMemory {
  return { pipes: new PipePool(maxPipes), buffer: new FixedMemory(PIPE_BYTES) };
}

/**
 * Small messages are copied through the thread's one buffer, which takes the fewest system libc. A sender who fills it
 * is spliced through a pipe, where bytes are not copied at all. Nothing is read while `to` takes nothing, so what a
 * slow receiver holds is in the kernel's socket buffers, and in at most one pipe.
 *
 * When all pipes are lent, to flows whose receivers are slow, bytes are looked at, sent, and only then taken: slower,
 * but nothing need be held, and nobody waits for a stranger.
 */
export class Flow {
  readonly #memory: FlowMemory;
  readonly #from: number;
  readonly #to: number;
  /** Passed to the receiver's kernel so far. */
  bytes = 0;
  #pipe: Pipe | null = null;
  #heldBytes = 0;
  #readable = false;
  #writable = false;
  /** The sender's FIN is in its receive queue, behind the last byte; no event will tell of it again. */
  #finIsIn = false;
  #isBulk = false;
  #state: 'open' | 'fin' | 'ended' = 'open';

  constructor(memory: FlowMemory, from: number, to: number) {
    this.#memory = memory;
    this.#from = from;
    this.#to = to;
  }

  /** The sender has something: bytes, FIN or an error. */
  fromReady(finIsIn: boolean): void {
    this.#readable = true;
    if (finIsIn) this.#finIsIn = true;
  }

  /** The receiver takes bytes again. */
  toReady(): void {
    this.#writable = true;
  }

  /** True while the receiver does not take what there is for it. */
  get isBlocked(): boolean {
    return !this.#writable;
  }

  /** Moves what can be moved now, up to a turn's share. FIN is passed on when it has come and everything is through. */
  pump(): FlowState {
    for (let round = 0; round < ROUNDS_PER_TURN; round += 1) {
      if (this.#state === 'fin' && this.#heldBytes === 0) this.#state = 'ended';
      if (this.#state === 'ended') return 'ended';
      if (!this.#writable || (this.#heldBytes === 0 && !this.#readable)) return 'waiting';
      const good = this.#heldBytes > 0 ? this.#flush() : this.#read();
      if (!good) return 'broken';
    }
    return 'busy';
  }

  /** Sends FIN to the receiver. False when the connection is gone. */
  sendFin(): boolean {
    return libc.shutdown(this.#to, SHUT_WR) === 0;
  }

  /** Drops what is held. The flow is not used any more. */
  drop(): void {
    if (this.#pipe !== null) {
      if (this.#heldBytes > 0) this.#memory.pipes.discard(this.#pipe);
      else this.#memory.pipes.giveBack(this.#pipe);
    }
    this.#pipe = null;
    this.#heldBytes = 0;
    this.#state = 'ended';
  }

  #read(): boolean {
    const pipe = this.#memory.pipes.take();
    if (pipe === null) return this.#copy(null);
    this.#pipe = pipe;
    const good = this.#isBulk ? this.#fill(pipe) : this.#copy(pipe);
    if (this.#heldBytes === 0) this.#giveBack();
    return good;
  }

  /** Socket to pipe. What is in the pipe is sent on by the same turn's next round. */
  #fill(pipe: Pipe): boolean {
    const bytes = libc.splice(this.#from, 0, pipe.writeFd, 0, PIPE_BYTES, SPLICE_MOVE_NONBLOCK);
    if (bytes > 0) {
      this.#heldBytes = bytes;
      this.#isBulk = bytes >= SMALL_BYTES;
      return this.#flush();
    }
    return this.#gotNothing(bytes);
  }

  /** Pipe to socket. */
  #flush(): boolean {
    const pipe = this.#pipe;
    if (pipe === null) return false;
    const bytes = libc.splice(pipe.readFd, 0, this.#to, 0, this.#heldBytes, SPLICE_MOVE_NONBLOCK);
    if (bytes <= 0) {
      if (bytes < 0 && bytes !== -EAGAIN) return false;
      this.#writable = false;
      return true;
    }
    this.bytes += bytes;
    this.#heldBytes -= bytes;
    if (this.#heldBytes === 0) this.#giveBack();
    return true;
  }

  /**
   * Socket to socket through the thread's buffer; what the receiver does not take goes into `pipe`, if there is one.
   */
  #copy(pipe: Pipe | null): boolean {
    const { address } = this.#memory.buffer;
    const flags = pipe === null ? MSG_PEEK : 0;
    const gotBytes = libc.recv(this.#from, address, PIPE_BYTES, flags);
    if (gotBytes <= 0) return this.#gotNothing(gotBytes);
    let sentBytes = libc.send(this.#to, address, gotBytes, MSG_NOSIGNAL);
    if (sentBytes < 0) {
      if (sentBytes !== -EAGAIN) return false;
      sentBytes = 0;
    }
    this.bytes += sentBytes;
    // Less than was asked for: nothing is left but what epoll will tell of, or the FIN that it told of before.
    if (gotBytes < PIPE_BYTES && !this.#finIsIn) this.#readable = false;
    else this.#isBulk = gotBytes === PIPE_BYTES;
    if (sentBytes < gotBytes) this.#writable = false;
    if (pipe === null) return this.#take(gotBytes, sentBytes);
    const restBytes = gotBytes - sentBytes;
    // An empty pipe takes all of it: the buffer is as large.
    if (restBytes > 0) this.#heldBytes = libc.write(pipe.writeFd, address + sentBytes, restBytes);
    return this.#heldBytes === restBytes;
  }

  /** Takes what was sent out of the sender's queue; the rest stays there. */
  #take(gotBytes: number, sentBytes: number): boolean {
    if (sentBytes < gotBytes) this.#readable = true;
    return (
      sentBytes === 0 ||
      libc.recv(this.#from, this.#memory.buffer.address, sentBytes, MSG_TRUNC) === sentBytes
    );
  }

  /** After 0: FIN; after minus an errno: nothing there, or broken. */
  #gotNothing(result: number): boolean {
    if (result === 0) this.#state = 'fin';
    else if (result !== -EAGAIN) return false;
    this.#readable = false;
    return true;
  }

  #giveBack(): void {
    if (this.#pipe === null) return;
    this.#memory.pipes.giveBack(this.#pipe);
    this.#pipe = null;
  }
}
