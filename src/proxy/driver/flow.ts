/** One direction of a relayed connection: bytes and FIN of one socket go to another. */
import { FixedMemory, libc } from '../../net/libc.ts';
import { EAGAIN, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, SHUT_WR, SPLICE_MOVE_NONBLOCK } from '../../net/linux.ts';
import { type Pipe, PIPE_BYTES, PipePool } from './pipe-pool.ts';
import { isConnected } from './tcp-info.ts';

/**
 * What a flow is after it has done what it could: waiting for a socket, not through with its turn, ended, or broken.
 */
export type FlowState = 'waiting' | 'busy' | 'ended' | 'broken';

/** Which side's connection is gone, and the errno that its last call gave; 0 for none. */
export type FlowFailure = { readonly isOfSender: boolean; readonly errno: number };

/** So many pipefuls at most, and then others have their turn: 256 KiB, a tenth of a millisecond or so. */
const ROUNDS_PER_TURN = 4;
/** A splice that brings less than this would have been cheaper as a copy. */
const SMALL_BYTES = PIPE_BYTES / 4;

/** What all flows of a thread share: one turn at a time needs the buffer. */
export class FlowMemory {
  readonly buffer = new FixedMemory(PIPE_BYTES);
  readonly pipes: PipePool;
  readonly #maxKept: number;
  #kept = 0;

  /** At most `maxPipes` pipes, and as many rests of at most PIPE_BYTES. `onShortage` is PipePool's. */
  constructor(maxPipes: number, onShortage: (reason: string) => void) {
    this.pipes = new PipePool(maxPipes, onShortage);
    this.#maxKept = maxPipes;
  }

  /** Whether one flow more may keep what its receiver has not taken. */
  get mayKeep(): boolean {
    return this.#kept < this.#maxKept;
  }

  /** Keeps the octets of the buffer between these offsets, until `release`. */
  keep(fromBytes: number, toBytes: number): FixedMemory {
    this.#kept += 1;
    const rest = new FixedMemory(Math.ceil((toBytes - fromBytes) / 4) * 4);
    rest.bytes.set(this.buffer.bytes.subarray(fromBytes, toBytes));
    return rest;
  }

  /** What `keep` returned is not needed any longer. */
  release(): void {
    this.#kept -= 1;
  }
}

/**
 * Small messages are copied through the thread's one buffer, which takes the fewest system calls. A sender who fills it
 * is spliced through a pipe, where bytes are not copied at all. Nothing is read while `to` takes nothing, so what a
 * slow receiver holds is in the kernel's socket buffers, and in at most one pipe or one rest of the buffer.
 *
 * When too many flows hold something, because their receivers are slow, bytes are looked at, sent, and only then taken:
 * slower, but nothing need be held, and nobody waits for a stranger.
 *
 * Only a connection that its socket says is over breaks a flow. A call that moves less than it might, or fails for
 * another reason, leaves everything where it is.
 */
export class Flow {
  /** Of a broken flow. */
  failure: FlowFailure = { isOfSender: true, errno: 0 };
  readonly #memory: FlowMemory;
  readonly #from: number;
  readonly #to: number;
  /** Passed to the receiver's kernel so far. */
  bytes = 0;
  /** Lent while it holds bytes. */
  #pipe: Pipe | null = null;
  /** Of the buffer, as long as the receiver has not taken it. */
  #rest: FixedMemory | null = null;
  #restSentBytes = 0;
  /** In the pipe or the rest. */
  #heldBytes = 0;
  #readable = false;
  #writable = false;
  /** The sender's FIN is in its receive queue, behind the last byte; no event will tell of it again. */
  #finIsIn = false;
  /**
   * The sender has sent urgent data: a call may stop there although more has come (tcp(7)), and splice does not pass.
   */
  #hasUrgent = false;
  #isBulk = false;
  #isStalled = false;
  #state: 'open' | 'fin' | 'ended' = 'open';

  constructor(memory: FlowMemory, from: number, to: number) {
    this.#memory = memory;
    this.#from = from;
    this.#to = to;
  }

  /** The sender has something: bytes, FIN or an error; `finIsIn` and `isUrgent` say what epoll said of it. */
  fromReady(finIsIn: boolean, isUrgent: boolean): void {
    this.#readable = true;
    if (finIsIn) this.#finIsIn = true;
    if (isUrgent) this.#hasUrgent = true;
  }

  /** The receiver takes bytes again. */
  toReady(): void {
    this.#writable = true;
  }

  /** True while the receiver does not take what there is for it. */
  get isBlocked(): boolean {
    return !this.#writable;
  }

  /** True after a call failed although its connection lives, for want of memory for example: no event ends that. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /** Moves what can be moved now, up to a turn's share. FIN is passed on when it has come and everything is through. */
  pump(): FlowState {
    for (let round = 0; round < ROUNDS_PER_TURN; round += 1) {
      if (this.#state === 'fin' && this.#heldBytes === 0) this.#state = 'ended';
      if (this.#state === 'ended') return 'ended';
      if (!this.#writable || (this.#heldBytes === 0 && !this.#readable)) return 'waiting';
      if (!this.#move()) return 'broken';
    }
    return 'busy';
  }

  /** To be called some time after `isStalled`, before the next `pump`. */
  tryAgain(): void {
    this.#isStalled = false;
    this.#readable = true;
    this.#writable = true;
  }

  /** Sends FIN to the receiver. False when the connection is gone. */
  sendFin(): boolean {
    return libc.shutdown(this.#to, SHUT_WR) === 0;
  }

  /** Drops what is held. The flow is not used any more. */
  drop(): void {
    if (this.#pipe !== null) this.#memory.pipes.discard(this.#pipe);
    if (this.#rest !== null) this.#memory.release();
    this.#pipe = null;
    this.#rest = null;
    this.#heldBytes = 0;
    this.#state = 'ended';
  }

  /** False when the connection of one side is gone. */
  #move(): boolean {
    if (this.#rest !== null) return this.#sendRest(this.#rest);
    if (this.#pipe !== null) return this.#flush(this.#pipe);
    const pipe = this.#isBulk && !this.#hasUrgent ? this.#memory.pipes.take() : null;
    return pipe === null ? this.#copy() : this.#fill(pipe);
  }

  /** Socket to pipe, and on. */
  #fill(pipe: Pipe): boolean {
    const bytes = libc.splice(this.#from, 0, pipe.writeFd, 0, PIPE_BYTES, SPLICE_MOVE_NONBLOCK);
    if (bytes >= 0) this.#isBulk = bytes >= SMALL_BYTES;
    if (bytes > 0) {
      this.#pipe = pipe;
      this.#heldBytes = bytes;
      return this.#flush(pipe);
    }
    const good = bytes === 0 || this.#gotNone(bytes);
    this.#memory.pipes.giveBack(pipe);
    return good; // after 0 a copy finds out whether it is FIN, or urgent data
  }

  /** Pipe to socket. */
  #flush(pipe: Pipe): boolean {
    const bytes = libc.splice(pipe.readFd, 0, this.#to, 0, this.#heldBytes, SPLICE_MOVE_NONBLOCK);
    if (bytes <= 0) return this.#tookNone(bytes);
    this.bytes += bytes;
    this.#heldBytes -= bytes;
    if (this.#heldBytes > 0) return true;
    this.#pipe = null;
    this.#memory.pipes.giveBack(pipe);
    return true;
  }

  /**
   * Socket to socket through the thread's buffer; what the receiver does not take is kept, or stays with the sender.
   */
  #copy(): boolean {
    const { buffer, mayKeep } = this.#memory;
    const gotBytes = libc.recv(this.#from, buffer.address, PIPE_BYTES, mayKeep ? 0 : MSG_PEEK);
    if (gotBytes === 0) {
      this.#state = 'fin';
      this.#readable = false;
      return true;
    }
    if (gotBytes < 0) return this.#gotNone(gotBytes);
    const sentBytes = libc.send(this.#to, buffer.address, gotBytes, MSG_NOSIGNAL);
    const good = sentBytes > 0 || this.#tookNone(sentBytes);
    const passedBytes = Math.max(0, sentBytes);
    this.bytes += passedBytes;
    // Less than was asked for: nothing is left but what epoll will tell of, or what it told of before.
    if (gotBytes < PIPE_BYTES && !this.#finIsIn && !this.#hasUrgent) this.#readable = false;
    else this.#isBulk = gotBytes === PIPE_BYTES;
    if (passedBytes < gotBytes) this.#writable = false;
    if (!mayKeep) return good && this.#take(gotBytes, passedBytes);
    if (passedBytes < gotBytes) {
      this.#rest = this.#memory.keep(passedBytes, gotBytes);
      this.#restSentBytes = 0;
      this.#heldBytes = gotBytes - passedBytes;
    }
    return good;
  }

  #sendRest(rest: FixedMemory): boolean {
    const bytes = libc.send(this.#to, rest.address + this.#restSentBytes, this.#heldBytes, MSG_NOSIGNAL);
    if (bytes <= 0) return this.#tookNone(bytes);
    this.bytes += bytes;
    this.#restSentBytes += bytes;
    this.#heldBytes -= bytes;
    if (this.#heldBytes > 0) return true;
    this.#rest = null;
    this.#memory.release();
    return true;
  }

  /** Takes what was sent out of the sender's queue; the rest stays there. */
  #take(gotBytes: number, sentBytes: number): boolean {
    if (sentBytes < gotBytes) this.#readable = true;
    for (let leftBytes = sentBytes; leftBytes > 0;) {
      const bytes = libc.recv(this.#from, this.#memory.buffer.address, leftBytes, MSG_TRUNC);
      if (bytes <= 0) return false; // it was there to be looked at
      leftBytes -= bytes;
    }
    return true;
  }

  /** Reading has failed: nothing is there, or the connection is gone. `result` is the call's, minus an errno. */
  #gotNone(result: number): boolean {
    this.#readable = false;
    return result === -EAGAIN || this.#livesAfter(result, true);
  }

  /** Writing has failed: there is no room, or the connection is gone. */
  #tookNone(result: number): boolean {
    this.#writable = false;
    return result === -EAGAIN || this.#livesAfter(result, false);
  }

  /**
   * The socket itself knows. A call also fails for want of memory, and what is read as its errno may be V8's, which has
   * run in between.
   */
  #livesAfter(result: number, isOfSender: boolean): boolean {
    this.#isStalled = isConnected(isOfSender ? this.#from : this.#to);
    if (!this.#isStalled) this.failure = { isOfSender, errno: -result };
    return this.#isStalled;
  }
}
