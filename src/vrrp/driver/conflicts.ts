/** Notices what else uses the VIP or the virtual router, counts it, and says, within limits, what to change. */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import type { Conflict, RouterCounters } from './counters.ts';
import type { RouterSockets } from './router-sockets.ts';

export type ConflictsOptions = {
  readonly vip: IpAddress;
  readonly counters: RouterCounters;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /**
   * Whether this node holds the VIP as of now. One that was frozen may read its successor's claim before it has noticed
   * that there is one.
   */
  readonly holds: () => boolean;
  /** Says that this node has the VIP (RFC 5227 2.4 (c): an address is defended, once in a while). */
  readonly defend: () => void;
};

/** A line per kind and host each minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 64;
/** An Active that gives way says no more about the address after this; twice the poll of claims, and some. */
const OTHER_ACTIVE_MS = 3000;
/** RFC 5227 1.1, DEFEND_INTERVAL. */
const DEFEND_MS = 10_000;

export class Conflicts {
  readonly #options: ConflictsOptions;
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  #claimWatch: { close(): void } | null = null;
  #defendedAtMs = -Infinity;
  #otherActiveAtMs = -Infinity;

  constructor(options: ConflictsOptions) {
    this.#options = options;
  }

  /** This node holds the VIP on the link of `sockets` from now on; null: it does not. */
  watch(sockets: Pick<RouterSockets, 'watchClaims'> | null): void {
    this.#claimWatch?.close();
    this.#claimWatch = null;
    if (sockets === null) return;
    const { vip, log } = this.#options;
    const onError = (error: unknown): void => {
      const text = errorText(error);
      log('warn', `cannot watch who else claims ${vip.text}: ${text}`, { event: 'claim_watch' });
    };
    try {
      this.#claimWatch = sockets.watchClaims(vip, { onClaim: (mac) => this.claimed(mac), onError });
    } catch (error) {
      onError(error);
    }
  }

  /** Another Active was heard while this node is one: it claims the VIP by right, for as long as that lasts. */
  onOtherActive(): void {
    this.#otherActiveAtMs = this.#options.nowMs();
  }

  /** The core has found two Actives, and says which. */
  onTwoActives(text: string): void {
    this.#tell('two_actives', 'vrrp', text);
  }

  /** The host with this hardware address says that it has the VIP, in ARP or neighbor discovery. */
  claimed(mac: string): void {
    const { vip, holds, defend } = this.#options;
    if (!holds()) return;
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#otherActiveAtMs < OTHER_ACTIVE_MS) return;
    const text = `another host, ${mac}, says that it has ${vip.text}: remove the address there, or choose another vip`;
    this.#tell('address_claimed', mac, text);
    if (nowMs - this.#defendedAtMs < DEFEND_MS) return;
    this.#defendedAtMs = nowMs;
    defend();
  }

  #tell(conflict: Conflict, who: string, text: string): void {
    this.#options.counters.conflicts[conflict] += 1;
    const suppressed = this.#logLimit.take(`${conflict} ${who}`, this.#options.nowMs());
    if (suppressed === null) return;
    this.#options.log('warn', text, { event: conflict, suppressed });
  }
}
