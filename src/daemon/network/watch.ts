/**
 * This host's network as the election sees it: follows links and addresses, removes stale VIPs, binds and renews VIPs.
 * Runs in the network thread, because each of these system calls may wait for the kernel's configuration lock (rtnl),
 * which any program of the machine can hold for seconds.
 */
import { vipFamilies, type Config } from '../../config/config.ts';
import { type IpAddress, HOST_PREFIX_BY_FAMILY } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import {
  type AddressLease,
  type InterfaceAddress,
  type NetlinkChange,
  type Route,
} from '../../net/rtnetlink-messages.ts';
import type { NetlinkListener, RtNetlink } from '../../net/rtnetlink.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { InterfaceTable } from './interfaces.ts';
import { StaleVips } from './stale-vips.ts';
import { isSettled, type NetworkView, type Place, SettledView, viewBefore, viewOf } from './view.ts';

/** What the watch needs of rtnetlink. */
export type WatchedNetlink = Pick<
  RtNetlink,
  | 'links'
  | 'addresses'
  | 'routes'
  | 'leaseAddress'
  | 'removeAddress'
  | 'removeExactly'
  | 'follow'
  | 'readNotifications'
  | 'close'
>;

export type NetworkWatchOptions = {
  /** See RtNetlink.open. */
  readonly openNetlink: (listener: NetlinkListener) => WatchedNetlink;
  readonly config: Config;
  readonly log: Log;
  readonly onView: (view: NetworkView) => void;
  /** A VIP has gone from a link, and this watch has not removed it. */
  readonly onAddressGone: (linkIndex: number, address: IpAddress) => void;
};

/** After the kernel dropped notifications, everything is read again, but not more often than this. */
const REREAD_MS = 1000;
/** Changes of routes are not notified: while the configuration does not fit this host, they are read this often. */
const ROUTES_MS = 2000;
/** Overruns are a line every minute. */
const LOG_PERIOD_MS = 60_000;

export class NetworkWatch {
  readonly #options: NetworkWatchOptions;
  readonly #netlink: WatchedNetlink;
  readonly #table = new InterfaceTable();
  readonly #stale: StaleVips;
  readonly #settled = new SettledView();
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, 1);
  /** Where the election runs; null before and after it. */
  #place: Place | null = null;
  #hasEnded = false;
  /** What there is has been read once; from then on the table is kept up to date, also while it is read again. */
  #hasRead = false;
  #routes: readonly Route[] = [];
  /** The interface whose notifications alone are delivered; null: all are. */
  #followedLinkIndex: number | null = null;
  /** By VIP: the link on which it is leased. */
  readonly #leased = new Map<string, number>();
  /** VIPs that were leased since the latest reading began, which may not have seen them. */
  readonly #leasedLately = new Set<string>();
  /** Addresses that are being removed, and how many notifications of that are still to come. */
  readonly #removing = new Map<string, number>();
  #reading: Promise<void> | null = null;
  /** Something was missed while everything was being read. */
  #readAgain = false;
  #rereadTimer: NodeJS.Timeout | null = null;
  #graceTimer: NodeJS.Timeout | null = null;
  #closed = false;

  private constructor(options: NetworkWatchOptions) {
    this.#options = options;
    this.#netlink = options.openNetlink({
      onChange: (change) => this.#onChange(change),
      onTurn: () => this.#onTurn(),
      onError: (error) => this.#onError(error),
    });
    this.#stale = new StaleVips({
      vips: options.config.vips,
      interfaces: this.#table,
      removeExactly: (address) => this.#netlink.removeExactly(address),
      isOurs: (address) => this.#isOurs(address),
      log: options.log,
    });
  }

  /**
   * Opens rtnetlink, reads what there is, and removes VIPs that are left from an earlier run. Rejects with
   * NetlinkError.
   */
  static async open(options: NetworkWatchOptions): Promise<NetworkWatch> {
    const watch = new NetworkWatch(options);
    try {
      await watch.#read();
      watch.#hasRead = true;
      watch.#stale.sweep();
      watch.#look();
    } catch (error) {
      watch.close();
      throw error;
    }
    return watch;
  }

  /** The election begins at this place, which was found a while ago: it need no longer fit. */
  begin(place: Place): void {
    this.#place = place;
    this.#look();
  }

  /** The election has ended. */
  end(): void {
    this.#hasEnded = true;
  }

  /** Adds the address, or starts its lifetime anew. Throws NetlinkError. */
  lease(lease: AddressLease): void {
    this.#leased.set(lease.address.text, lease.linkIndex);
    this.#leasedLately.add(lease.address.text);
    this.#netlink.leaseAddress(lease);
  }

  /** Removes the address; false when the link does not have it. Rejects with NetlinkError. */
  async remove(linkIndex: number, address: IpAddress): Promise<boolean> {
    const key = `${linkIndex} ${address.text}`;
    this.#removing.set(key, (this.#removing.get(key) ?? 0) + 1);
    if (this.#leased.get(address.text) === linkIndex) this.#leased.delete(address.text);
    try {
      return await this.#netlink.removeAddress(linkIndex, address);
    } finally {
      // The kernel has queued the notification before it answered: afterwards, none of this removal is still to come.
      this.#netlink.readNotifications();
      this.#removing.delete(key);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#rereadTimer !== null) clearTimeout(this.#rereadTimer);
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#stale.close();
    this.#netlink.close();
  }

  #onChange(change: NetlinkChange): void {
    this.#table.apply(change);
    if (change.kind === 'addressAdded') this.#stale.look(change.address);
    if (change.kind === 'addressRemoved') this.#onRemoved(change.address);
  }

  #onTurn(): void {
    if (this.#closed || !this.#hasRead) return;
    this.#look();
  }

  #onRemoved({ linkIndex, address }: InterfaceAddress): void {
    if (!this.#stale.isVip(address)) return;
    const key = `${linkIndex} ${address.text}`;
    const expected = this.#removing.get(key) ?? 0;
    if (expected > 0) this.#removing.set(key, expected - 1);
    else if (!this.#isThere(linkIndex, address)) this.#options.onAddressGone(linkIndex, address);
  }

  /** Whether the link still has the address with the prefix that a lease has, when another one is gone. */
  #isThere(linkIndex: number, address: IpAddress): boolean {
    const prefixLength = HOST_PREFIX_BY_FAMILY[address.family];
    return this.#table
      .addressesOf(linkIndex)
      .some((own) => own.address.text === address.text && own.prefixLength === prefixLength);
  }

  /** Whether this daemon holds this VIP as it stands there, or is about to remove it. */
  #isOurs({ linkIndex, address, prefixLength }: InterfaceAddress): boolean {
    if (prefixLength !== HOST_PREFIX_BY_FAMILY[address.family]) return false;
    return this.#leased.get(address.text) === linkIndex || this.#removing.has(`${linkIndex} ${address.text}`);
  }

  /** Works out the view, and reports it where it has changed. */
  #look(): void {
    if (this.#hasEnded) return;
    const { config } = this.#options;
    const seen =
      this.#place === null
        ? viewBefore(config, this.#table, this.#routes)
        : viewOf(config, this.#table, this.#place);
    if (this.#place !== null && seen.place !== null) this.#moveTo(seen.place);
    const changed = this.#settled.take(seen, monotonicMs());
    this.#awaitSource();
    if (changed !== null) this.#options.onView(changed);
    if (seen.place === null) this.#rereadIn(ROUTES_MS);
    this.#follow();
  }

  #moveTo(place: Place): void {
    const before = this.#place?.interfaceName;
    if (before === place.interfaceName) return;
    this.#place = place;
    const text = `the subnet of the VIP is on ${place.interfaceName} now, no longer on ${before}`;
    this.#options.log('warn', text, { event: 'interface', interface: place.interfaceName });
  }

  /** A source address that does not come back is noticed without a notification. */
  #awaitSource(): void {
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
    const { dueMs } = this.#settled;
    if (dueMs === Infinity) return;
    const delayMs = Math.max(1, Math.ceil(dueMs - monotonicMs()));
    this.#graceTimer = setTimeout(() => this.#onTurn(), delayMs);
  }

  /** While the election runs on an interface that works, notifications about others are dropped by the kernel. */
  #follow(): void {
    const view = this.#settled.current;
    const name = this.#place?.interfaceName;
    const link = name === undefined ? null : this.#table.linkByName(name);
    const wanted = view !== null && isSettled(view) && link !== null ? link.index : null;
    if (wanted === this.#followedLinkIndex) return;
    const addresses = this.#options.config.vips;
    try {
      this.#netlink.follow(wanted === null ? null : { linkIndex: wanted, addresses });
      this.#followedLinkIndex = wanted;
    } catch (error) {
      // The filter stays as it was; the next reading tries again.
      this.#onError(error);
      return;
    }
    // What happened to other interfaces meanwhile was not reported.
    if (wanted === null) void this.#reread();
  }

  #onError(error: unknown): void {
    if (this.#closed) return;
    this.#rereadIn(REREAD_MS);
    const suppressed = this.#logLimit.take('netlink', monotonicMs());
    if (suppressed === null) return;
    this.#options.log('warn', `rtnetlink: ${errorText(error)}; reading links and addresses again`, {
      event: 'netlink',
      suppressed,
    });
  }

  #rereadIn(delayMs: number): void {
    this.#rereadTimer ??= setTimeout(() => {
      this.#rereadTimer = null;
      void this.#reread();
    }, delayMs);
  }

  async #reread(): Promise<void> {
    if (this.#reading !== null) {
      this.#readAgain = true;
      return;
    }
    try {
      await this.#read();
      if (this.#closed) return;
      this.#look();
      this.#stale.sweepAgain();
    } catch (error) {
      this.#onError(error);
      this.#look();
    }
  }

  /** Reads everything, once more where that was asked for meanwhile. One reading at a time. */
  async #read(): Promise<void> {
    const reading = (async () => {
      do {
        this.#readAgain = false;
        await this.#readOnce();
      } while (this.#readAgain && !this.#closed);
    })();
    this.#reading = reading;
    try {
      await reading;
    } finally {
      this.#reading = null;
    }
  }

  async #readOnce(): Promise<void> {
    const { vips } = this.#options.config;
    this.#leasedLately.clear();
    this.#table.beginReading();
    try {
      const links = await this.#netlink.links();
      this.#table.replace(links, await this.#netlink.addresses());
    } catch (error) {
      this.#table.abandonReading();
      throw error;
    }
    if (this.#place === null) {
      this.#routes = await this.#netlink.routes(vipFamilies(this.#options.config));
    }
    for (const vip of vips) {
      const linkIndex = this.#leased.get(vip.text);
      const isOld = !this.#leasedLately.has(vip.text);
      if (linkIndex !== undefined && isOld && !this.#table.hasOn(linkIndex, vip))
        this.#options.onAddressGone(linkIndex, vip);
    }
  }
}
