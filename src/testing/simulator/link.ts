/** The segment that joins the hosts: it delays, loses, duplicates, reorders and damages packets, and can be cut. */
import type { Envelope } from '../../vrrp/advertisement.ts';
import type { Random } from './random.ts';
import type { Schedule, Task } from './schedule.ts';

/** What a VRRP socket gets: the IP header's word and the message. */
export type Packet = Envelope & { readonly kind: 'vrrp'; readonly message: Uint8Array };

/** What a neighbor cache gets: a gratuitous ARP or an unsolicited neighbor advertisement for the VIP. */
export type Announcement = { readonly kind: 'announcement'; readonly from: number };

export type Frame = Packet | Announcement;

export type LinkQuality = {
  readonly delayMs: number;
  /** On top of the delay, 0 to this; packets of one sender stay in order. */
  readonly jitterMs: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** How many packets are held back for up to `heldBackMs`, so that later ones overtake them. */
  readonly reorderRate: number;
  readonly heldBackMs: number;
  /** How many packets have one to three bits turned. */
  readonly flipRate: number;
};

export type LinkEnd = {
  readonly carrier: boolean;
  receive(frame: Frame): void;
};

export class Link {
  quality: LinkQuality;
  readonly #schedule: Schedule;
  readonly #random: Random;
  #ends: readonly LinkEnd[] = [];
  /** How many faults block packets from one end (row) to another. */
  #blocks: Uint8Array = new Uint8Array(0);
  /** When the last packet in order arrives, by the same index. */
  #arrivals: Float64Array = new Float64Array(0);
  #lastArrivalMs = 0;

  constructor(schedule: Schedule, random: Random, quality: LinkQuality) {
    this.#schedule = schedule;
    this.#random = random;
    this.quality = quality;
  }

  /** By when everything that is under way now has arrived. */
  get quietAtMs(): number {
    return this.#lastArrivalMs;
  }

  connect(ends: readonly LinkEnd[]): void {
    this.#ends = ends;
    this.#blocks = new Uint8Array(ends.length * ends.length);
    this.#arrivals = new Float64Array(ends.length * ends.length);
  }

  /** Blocks (`step` 1) or unblocks (-1) packets from one end to another. */
  block(from: number, to: number, step: 1 | -1): void {
    this.#blocks[from * this.#ends.length + to]! += step;
  }

  unblockAll(): void {
    this.#blocks.fill(0);
  }

  /** Whether a packet that is sent now would get there, chance apart. */
  passes(from: number, to: number): boolean {
    if (from === to) return true;
    const open = this.#blocks[from * this.#ends.length + to] === 0;
    return open && this.#ends[from]!.carrier && this.#ends[to]!.carrier;
  }

  /** Sends from one end to another, or with `to` null to all others. */
  send(from: number, to: number | null, frame: Frame): void {
    if (to !== null) {
      this.#sendOne(from, to, frame);
      return;
    }
    for (let other = 0; other < this.#ends.length; other += 1) {
      if (other !== from) this.#sendOne(from, other, frame);
    }
  }

  #sendOne(from: number, to: number, frame: Frame): void {
    const { quality } = this;
    const random = this.#random;
    if (!this.passes(from, to)) return;
    if (quality.lossRate > 0 && random.chance(quality.lossRate)) return;
    this.#deliver(from, to, frame);
    if (quality.duplicateRate > 0 && random.chance(quality.duplicateRate)) this.#deliver(from, to, frame);
  }

  #deliver(from: number, to: number, frame: Frame): void {
    const { quality } = this;
    const random = this.#random;
    const pair = from * this.#ends.length + to;
    let atMs = this.#schedule.nowMs + quality.delayMs + random.unit() * quality.jitterMs;
    if (quality.reorderRate > 0 && random.chance(quality.reorderRate)) {
      atMs += random.between(0, quality.heldBackMs);
    } else {
      atMs = Math.max(atMs, this.#arrivals[pair]!);
      this.#arrivals[pair] = atMs;
    }
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, atMs);
    const damaged = frame.kind === 'vrrp' && quality.flipRate > 0 && random.chance(quality.flipRate);
    this.#schedule.at(atMs, new Delivery(this.#ends[to]!, damaged ? this.#damage(frame) : frame));
  }

  #damage(packet: Packet): Packet {
    const message = packet.message.slice();
    for (let flips = this.#random.integer(1, 3); flips > 0; flips -= 1) {
      message[this.#random.integer(0, message.length - 1)]! ^= 1 << this.#random.integer(0, 7);
    }
    return { ...packet, message };
  }
}

class Delivery implements Task {
  readonly #end: LinkEnd;
  readonly #frame: Frame;

  constructor(end: LinkEnd, frame: Frame) {
    this.#end = end;
    this.#frame = frame;
  }

  run(): void {
    if (this.#end.carrier) this.#end.receive(this.#frame);
  }
}
