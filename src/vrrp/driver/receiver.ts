/** From a received datagram to an advertisement to act on: climbs the receive ladder, counts, and tells, within limits. */
import type { IpAddress } from '../../ip/address.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../net/clock.ts';
import type { VrrpDatagram } from '../../net/vrrp-socket.ts';
import type { Advertisement, Authentication, VrrpVersion } from '../advertisement.ts';
import { type Mismatch, type ReceiveOptions, type RejectReason, receiveAdvertisement } from '../receive.ts';
import type { RouterCounters } from './counters.ts';
import { describeMismatch, describeReject } from './remarks.ts';

export type ReceiverOptions = {
  readonly vrid: number;
  readonly version: VrrpVersion;
  readonly advertisementIntervalMs: number;
  readonly vip: IpAddress;
  readonly authentication: Authentication;
  readonly peers: readonly IpAddress[];
  readonly counters: RouterCounters;
  readonly log: Log;
};

/** What others can make us log: a line per kind and sender each minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 64;

export class Receiver {
  private readonly options: ReceiverOptions;
  private readonly logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  private own: ReceiveOptions;

  constructor(options: ReceiverOptions) {
    const { vrid, version, advertisementIntervalMs, vip, authentication } = options;
    const addresses = [vip];
    this.options = options;
    this.own = { vrid, version, advertisementIntervalMs, addresses, authentication, allowedSources: null };
  }

  /**
   * From now on this router sends from `ownAddress`. Where that is one of the peers, only peers are listened to. Where
   * it is not (a link-local address over IPv6, or a network of its own for VRRP), the others' sources are unknown too,
   * and anybody on the link counts, as the RFC has it.
   */
  begin(ownAddress: IpAddress): void {
    const peers = new Set(this.options.peers.map((peer) => peer.text));
    this.own = { ...this.own, allowedSources: peers.has(ownAddress.text) ? peers : null };
  }

  /** The advertisement, or null when the datagram was dropped. */
  receive(datagram: VrrpDatagram): Advertisement | null {
    const { vip, counters } = this.options;
    const { source, destination, ttl } = datagram;
    const envelope = { family: vip.family, source, destination, ttl };
    const result = receiveAdvertisement(datagram.payload, envelope, this.own);
    if (!result.ok) {
      this.onReject(result.reason, datagram.source);
      return null;
    }
    counters.accepted += 1;
    counters.checksumForms[result.checksumForm] += 1;
    for (const mismatch of result.mismatches)
      this.onMismatch(mismatch, result.advertisement, datagram.source);
    return result.advertisement;
  }

  private onReject(reason: RejectReason, source: IpAddress): void {
    this.options.counters.rejected[reason] += 1;
    // Other groups on the segment are nobody's mistake.
    if (reason === 'other_vrid') return;
    const suppressed = this.logLimit.take(`${reason} ${source.text}`, monotonicMs());
    if (suppressed === null) return;
    const fields = { event: 'rejected', reason, source: source.text, suppressed };
    this.options.log('warn', `dropped a VRRP packet from ${source.text}: ${describeReject(reason)}`, fields);
  }

  private onMismatch(mismatch: Mismatch, advertisement: Advertisement, source: IpAddress): void {
    this.options.counters.mismatches[mismatch] += 1;
    const suppressed = this.logLimit.take(`${mismatch} ${source.text}`, monotonicMs());
    if (suppressed === null) return;
    const text = describeMismatch(mismatch, advertisement, source, this.own);
    this.options.log('warn', text, { event: 'mismatch', mismatch, source: source.text, suppressed });
  }
}
