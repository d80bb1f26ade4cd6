/**
 * From a received datagram to an advertisement to act on: climbs the receive ladder, counts, and tells, within limits.
 */
import type { IpAddress } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import type { ExpectedAdvertisements } from './vrrp-filters.ts';
import type { VrrpDatagram } from './vrrp-socket.ts';
import type { Advertisement, Authentication, VrrpVersion } from '../advertisement.ts';
import type { VirtualRouterOptions } from '../events.ts';
import {
  MISMATCHES,
  type Mismatch,
  REJECT_REASONS,
  type ReceiveOptions,
  type RejectReason,
  receiveAdvertisement,
} from '../receive.ts';
import type { RouterCounters } from './counters.ts';
import { describeMismatch, describeReject } from './remarks.ts';

export type ReceiverOptions = {
  readonly vrid: number;
  readonly version: VrrpVersion;
  readonly advertisementIntervalMs: number;
  readonly vip: IpAddress;
  readonly priorities: VirtualRouterOptions['priorities'];
  readonly authentication: Authentication;
  /** The addresses that this node and its peers may send from. */
  readonly senders: readonly IpAddress[];
  readonly counters: RouterCounters;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
};

/** What others can make us log: a line per kind and sender each minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 64;
/** Lines that there can be about one sender: each reason for a reject, and each mismatch. */
const SENDER_KEYS = REJECT_REASONS.length + MISMATCHES.length;

export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  /** Strangers, however many, take no line from a node of the cluster that is configured otherwise. */
  readonly #senderLimit: LogLimit;
  readonly #senderTexts: ReadonlySet<string>;
  #own: ReceiveOptions;
  #sources: readonly IpAddress[] | null = null;

  constructor(options: ReceiverOptions) {
    const { vrid, version, advertisementIntervalMs, vip, priorities, authentication } = options;
    const addresses = [vip];
    this.#options = options;
    this.#senderTexts = new Set(options.senders.map(({ text }) => text));
    this.#senderLimit = new LogLimit(LOG_PERIOD_MS, this.#senderTexts.size * SENDER_KEYS);
    const unknown = { self: null, allowedSources: null };
    const group = { vrid, version, advertisementIntervalMs, addresses, priorities, authentication };
    this.#own = { ...group, ...unknown };
  }

  /**
   * From now on this router sends from `ownAddress`. Where that is one of the senders, only these are listened to.
   * Where it is not (link-local addresses that are not listed, or a network of its own for VRRP), the others' are
   * unknown too, and any host of the link counts, as the RFC has it.
   */
  begin(ownAddress: IpAddress): void {
    const isListed = this.#options.senders.some(({ text }) => text === ownAddress.text);
    this.#sources = isListed ? this.#options.senders : null;
    const allowedSources = this.#sources === null ? null : new Set(this.#sources.map(({ text }) => text));
    this.#own = { ...this.#own, self: ownAddress.text, allowedSources };
  }

  /** What an advertisement that may be accepted looks like. */
  get expected(): ExpectedAdvertisements {
    const { vrid, version } = this.#own;
    return { vrid, version, sources: this.#sources };
  }

  /** The advertisement, or null when the datagram was dropped. */
  receive(datagram: VrrpDatagram): Advertisement | null {
    const { vip, counters } = this.#options;
    const { source, destination, ttl } = datagram;
    const envelope = { family: vip.family, source, destination, ttl };
    const result = receiveAdvertisement(datagram.payload, envelope, this.#own);
    if (!result.ok) {
      this.#onReject(result.reason, datagram.source);
      return null;
    }
    counters.accepted += 1;
    counters.checksumForms[result.checksumForm] += 1;
    for (const mismatch of result.mismatches)
      this.#onMismatch(mismatch, result.advertisement, datagram.source);
    return result.advertisement;
  }

  #onReject(reason: RejectReason, source: IpAddress): void {
    this.#options.counters.rejected[reason] += 1;
    // Other groups on the segment are nobody's mistake.
    if (reason === 'other_vrid') return;
    const suppressed = this.#takeLine(reason, source);
    if (suppressed === null) return;
    const fields = { event: 'rejected', reason, source: source.text, suppressed };
    this.#options.log('warn', `dropped a VRRP packet from ${source.text}: ${describeReject(reason)}`, fields);
  }

  #onMismatch(mismatch: Mismatch, advertisement: Advertisement, source: IpAddress): void {
    this.#options.counters.mismatches[mismatch] += 1;
    const suppressed = this.#takeLine(mismatch, source);
    if (suppressed === null) return;
    const text = describeMismatch(mismatch, advertisement, source, this.#own);
    this.#options.log('warn', text, { event: 'mismatch', mismatch, source: source.text, suppressed });
  }

  #takeLine(what: RejectReason | Mismatch, source: IpAddress): number | null {
    const limit = this.#senderTexts.has(source.text) ? this.#senderLimit : this.#logLimit;
    return limit.take(`${what} ${source.text}`, this.#options.nowMs());
  }
}
