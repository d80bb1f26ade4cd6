/** The sockets of a simulated process: a queue for what arrives while it does not run, and faults of the kernel. */
import type { IpAddress } from '../../ip/address.ts';
import type { RouterSockets, RouterSocketsOptions } from '../../vrrp/driver/router-sockets.ts';
import type { Frame, Packet } from './link.ts';

export type SimulatedSocketsOptions = RouterSocketsOptions & {
  /** Puts a frame on the segment; with `destination` null for everybody. */
  readonly send: (destination: IpAddress | null, frame: Frame) => void;
  /** Whether the kernel has no room for what is sent. */
  readonly isFull: () => boolean;
  /** The index of the host, for its announcements. */
  readonly hostIndex: number;
  readonly onClose: () => void;
};

/**
 * The buffer of the real socket, 4 MiB, holds some 10,000 packets: more than a round sends while a process is paused.
 * So this one has no limit.
 */
export class SimulatedSockets implements RouterSockets {
  readonly #options: SimulatedSocketsOptions;
  #queue: Packet[] = [];

  constructor(options: SimulatedSocketsOptions) {
    this.#options = options;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** A packet arrives while the process does not run. */
  enqueue(packet: Packet): void {
    this.#queue.push(packet);
  }

  deliver({ message: payload, source, destination, ttl }: Packet): void {
    this.#options.onDatagram({ payload, source, destination, ttl });
  }

  deliverFirst(): void {
    const [first, ...others] = this.#queue;
    this.#queue = others;
    if (first !== undefined) this.deliver(first);
  }

  /** Reading fails, as when the interface is taken away under an open socket. */
  fail(error: Error): void {
    this.close();
    this.#options.onError(error);
  }

  send(message: Uint8Array, destination: IpAddress): void {
    this.#refuseIfFull();
    const { family, link } = this.#options;
    this.#options.send(destination, {
      kind: 'vrrp',
      message,
      family,
      source: link.source,
      destination,
      ttl: 255,
    });
  }

  readQueued(): void {
    while (this.#queue.length > 0) this.deliverFirst();
  }

  discardQueued(): number {
    const { length } = this.#queue;
    this.#queue = [];
    return length;
  }

  unread(): { readonly expected: number; readonly unexpected: number } {
    return { expected: 0, unexpected: 0 };
  }

  announce(): boolean {
    this.#refuseIfFull();
    this.#options.send(null, { kind: 'announcement', from: this.#options.hostIndex });
    return true;
  }

  ask(): void {
    this.#refuseIfFull();
  }

  watchClaims(): null {
    return null;
  }

  adopt(): void {
    this.#refuseIfFull();
  }

  close(): void {
    this.#queue = [];
    this.#options.onClose();
  }

  #refuseIfFull(): void {
    if (this.#options.isFull()) throw new Error('no buffer space available');
  }
}
