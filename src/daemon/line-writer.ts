/**
 * Lines to a file descriptor that may take them slowly, or not at all, such as standard output with nobody to read it
 * or on a full disk. Not pino's destination: that ends the thread at a full disk, writes nothing after a closed pipe,
 * counts nothing, and does not return from its flush while the descriptor refuses.
 */
import { write } from 'node:fs';

/** This much waits; what comes after is dropped. */
const MAX_WAITING_BYTES = 1024 * 1024;
const PIECE_BYTES = 64 * 1024;
/** After a refusal; a pipe that is full answers EAGAIN. */
const RETRY_MS = 100;
const FLUSH_MS = 1000;

export class LineWriter {
  readonly #fd: number;
  readonly #onLoss: (lines: number, why: string) => void;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Taken out of `waiting`, and not yet written. */
  #piece = Buffer.alloc(0);
  #isBusy = false;
  #failure: string | null = null;
  #linesDropped = 0;
  #linesTold = 0;
  #whenEmpty: (() => void) | null = null;

  /** `onLoss` is called with how many lines were dropped, and why, when there is room again. It may write. */
  constructor(fd: number, onLoss: (lines: number, why: string) => void) {
    this.#fd = fd;
    this.#onLoss = onLoss;
  }

  /** How many lines were dropped so far. */
  get dropped(): number {
    return this.#linesDropped;
  }

  write(line: string): void {
    const octets = Buffer.from(line);
    if (this.#waitingBytes + octets.length > MAX_WAITING_BYTES) {
      this.#linesDropped += 1;
      return;
    }
    this.#waiting.push(octets);
    this.#waitingBytes += octets.length;
    if (!this.#isBusy) this.#writePiece();
  }

  /** Resolves when nothing waits any more, or after FLUSH_MS. */
  async flush(): Promise<void> {
    if (!this.#isBusy) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FLUSH_MS);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #writePiece(): void {
    this.#isBusy = true;
    if (this.#piece.length === 0) this.#piece = this.#takePiece();
    write(this.#fd, this.#piece, (error, bytes) => this.#onWritten(error, bytes));
  }

  #takePiece(): Buffer<ArrayBuffer> {
    let count = 0;
    for (let bytes = 0; bytes < PIECE_BYTES && count < this.#waiting.length; count += 1)
      bytes += this.#waiting[count]?.length ?? 0;
    return Buffer.concat(this.#waiting.splice(0, count));
  }

  #onWritten(error: NodeJS.ErrnoException | null, bytes: number): void {
    if (error !== null) {
      this.#failure = error.code === 'EAGAIN' ? null : error.message;
      setTimeout(() => this.#writePiece(), RETRY_MS).unref();
      return;
    }
    this.#piece = this.#piece.subarray(bytes);
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes > 0) {
      this.#writePiece();
      return;
    }
    this.#isBusy = false;
    this.#tellLoss();
    if (!this.#isBusy) this.#whenEmpty?.();
  }

  #tellLoss(): void {
    const lines = this.#linesDropped - this.#linesTold;
    if (lines === 0) return;
    this.#linesTold = this.#linesDropped;
    const why = this.#failure ?? 'its reader did not keep up';
    this.#failure = null;
    this.#onLoss(lines, why);
  }
}
