/** The election of this node: its virtual routers, on the interface that they share. Main thread only. */
import { vipFamilies, type Config } from '../config/config.ts';
import type { Family, IpAddress } from '../ip/address.ts';
import { LogLimit } from '../log/log-limit.ts';
import type { Log } from '../log/log.ts';
import { monotonicMs } from '../runtime/clock.ts';
import {
  HOST_PREFIX_BY_FAMILY,
  type InterfaceAddress,
  type NetlinkChange,
  type Route,
} from '../net/rtnetlink-messages.ts';
import type { RtNetlink } from '../net/rtnetlink.ts';
import type { Authentication } from '../vrrp/advertisement.ts';
import { Router, type RouterLink, type RouterSnapshot } from '../vrrp/driver/router.ts';
import type { HealthClass } from '../node/health-class.ts';
import { autoPriorities, configuredPriorities } from '../vrrp/priority.ts';
import { InterfaceTable, findInterface, findRouterLink } from './interfaces.ts';
import type { ResolvedNode } from './node.ts';
import { StrayVips } from './stray-vips.ts';

/** What the election needs of rtnetlink. */
type Netlink = Pick<
  RtNetlink,
  'links' | 'addresses' | 'routes' | 'leaseAddress' | 'removeAddress' | 'removeExactly' | 'close'
>;

export type ElectionOptions = {
  /** See RtNetlink. */
  readonly openNetlink: (
    onChange: (change: NetlinkChange) => void,
    onError: (error: Error) => void,
  ) => Netlink;
  readonly config: Config;
  readonly log: Log;
  /** This address is about to leave the kernel; see RouterOptions. */
  readonly closeVip: (vip: IpAddress, handedOver: boolean) => Promise<void>;
  /** Anything that /status shows has changed. */
  readonly onChange: () => void;
  /** See RouterOptions. */
  readonly onLost: (active: IpAddress) => void;
};

/** Where this node stands, once that is known. */
export type Place = {
  readonly interfaceName: string;
  readonly self: IpAddress;
  readonly sourceByFamily: ResolvedNode['sourceByFamily'];
};

/** After the kernel dropped notifications, everything is read again, but not more often than this. */
const REREAD_MS = 1000;
/** Overruns are a line each minute. */
const LOG_PERIOD_MS = 60_000;
/** A router whose deadline is overdue by this much is not being served. */
const OVERDUE_MS = 3000;

export class Election {
  readonly interfaces = new InterfaceTable();
  private readonly options: ElectionOptions;
  private readonly netlink: Netlink;
  private readonly strays: StrayVips;
  private readonly logLimit = new LogLimit(LOG_PERIOD_MS, 1);
  private routers: readonly Router[] = [];
  private place: Place | null = null;
  private lastReasons = new Map<Family, string>();
  private rereadTimer: NodeJS.Timeout | null = null;
  private whenChanged: (() => void) | null = null;

  private constructor(options: ElectionOptions) {
    this.options = options;
    this.netlink = options.openNetlink(
      (change) => this.onNetlink(change),
      (error) => this.onNetlinkError(error),
    );
    this.strays = new StrayVips({
      vips: options.config.vips,
      interfaces: this.interfaces,
      removeExactly: (address) => this.netlink.removeExactly(address),
      isOurs: (address) => this.isOurs(address),
      log: options.log,
    });
  }

  /** Opens rtnetlink and reads what there is. Throws NetlinkError. */
  static async open(options: ElectionOptions): Promise<Election> {
    const election = new Election(options);
    await election.reread();
    return election;
  }

  /** Null before the start and after the end. */
  get interfaceName(): string | null {
    return this.place?.interfaceName ?? null;
  }

  /** The default routes and the on-link ones of the VIPs' families. Rejects with NetlinkError. */
  routes(): Promise<Route[]> {
    return this.netlink.routes(vipFamilies(this.options.config));
  }

  /** Resolves at the next change of links or addresses. */
  interfacesChanged(): Promise<void> {
    return new Promise((resolve) => {
      this.whenChanged = resolve;
    });
  }

  /** Removes VIPs that nobody here may have, before the start. Rejects with NetlinkError. */
  sweep(): Promise<void> {
    return this.strays.sweep();
  }

  /** Takes part from now on, whenever the interface can be used. */
  start(place: Place): void {
    this.place = place;
    this.routers = this.options.config.vips.map((vip) => this.createRouter(vip, place.self));
    this.attachAll();
    for (const router of this.routers) router.give({ type: 'startup' });
  }

  setHealth(healthClass: HealthClass, confirmedAtMs: number): void {
    for (const router of this.routers) router.give({ type: 'health', class: healthClass, confirmedAtMs });
  }

  drain(force: boolean): void {
    for (const router of this.routers) router.give({ type: 'drain', force });
    this.options.onChange();
  }

  undrain(): void {
    for (const router of this.routers) router.give({ type: 'undrain' });
    this.options.onChange();
  }

  /** Hands over and leaves; resolves when no router is Active any more. */
  async stop(handover: boolean, text: string): Promise<void> {
    await Promise.all(this.routers.map((router) => router.shutdown(handover, text)));
    // What happens to the interface from here on is no longer ours.
    this.place = null;
  }

  close(): void {
    if (this.rereadTimer !== null) clearTimeout(this.rereadTimer);
    this.strays.close();
    this.netlink.close();
  }

  /** Whether deadlines are being served: false means that the election is wedged though its thread turns. */
  works(): boolean {
    return this.routers.every((router) => monotonicMs() - router.deadlineMs < OVERDUE_MS);
  }

  /** Whether this node is Active for any VIP. */
  get isActive(): boolean {
    return this.routers.some(({ isActive }) => isActive);
  }

  snapshots(): RouterSnapshot[] {
    return this.routers.map((router) => router.snapshot());
  }

  private createRouter(vip: IpAddress, self: IpAddress): Router {
    const { config, log } = this.options;
    const { vrrp } = config;
    const peers = config.peers.filter((peer) => peer.family === vip.family);
    const authentication: Authentication =
      vrrp.authPass === null ? { type: 'none' } : { type: 'pass', password: vrrp.authPass };
    return new Router({
      vrid: vrrp.vrid,
      vip,
      core: {
        version: vrrp.version,
        priorities: prioritiesOf(config, self),
        advertisementIntervalMs: vrrp.advertisementIntervalMs,
        preempt: vrrp.preempt,
        preemptDelayMs: vrrp.preemptDelayMs,
        isAlone: isOnlyNode(config),
      },
      authentication,
      checksumForm: vrrp.checksum,
      peers,
      linkLocalPeers: vip.family === 'IPv6' ? vrrp.linkLocalPeers : [],
      unicast: vrrp.transport === 'unicast',
      netlink: this.netlink,
      log,
      closeVip: this.options.closeVip,
      onChange: this.options.onChange,
      // A node is drained as a whole: half of it would stay away from elections, and nobody would know.
      onDrainFailed: () => this.undrain(),
      onLost: this.options.onLost,
    });
  }

  private onNetlink(change: NetlinkChange): void {
    this.interfaces.apply(change);
    // Each renewal of the own lease comes back as a notification, and says nothing about the interface.
    if (change.kind === 'addressAdded' && this.strays.isVip(change.address.address)) {
      this.strays.look(change.address);
      return;
    }
    if (change.kind === 'addressRemoved' && !this.isLeased(change.address)) {
      for (const router of this.routers)
        router.onAddressRemoved(change.address.linkIndex, change.address.address);
    }
    this.attachAll();
    this.whenChanged?.();
  }

  /** Whether the kernel still has the address with the prefix that a lease has, when another one is gone. */
  private isLeased({ linkIndex, address }: InterfaceAddress): boolean {
    const prefixLength = HOST_PREFIX_BY_FAMILY[address.family];
    return this.interfaces
      .addressesOf(linkIndex)
      .some((own) => own.address.text === address.text && own.prefixLength === prefixLength);
  }

  /** Whether a router has this VIP now, as it stands there, or is about to have it removed. */
  private isOurs({ linkIndex, address, prefixLength }: InterfaceAddress): boolean {
    const router = this.routers.find(({ options }) => options.vip.text === address.text);
    if (router === undefined || prefixLength !== HOST_PREFIX_BY_FAMILY[address.family]) return false;
    // A router that has lost its link may still be releasing the address there.
    const isThere = router.link === null || router.link.index === linkIndex;
    return isThere && (router.leased || router.releasing);
  }

  private attachAll(): void {
    if (this.place === null) return;
    const interfaceName = findInterface(this.interfaces, this.options.config, this.place.interfaceName);
    if (interfaceName !== this.place.interfaceName) this.moveTo(interfaceName, this.place);
    for (const router of this.routers) this.attachOne(router);
  }

  private moveTo(interfaceName: string, place: Place): void {
    this.place = { ...place, interfaceName };
    this.options.log(
      'warn',
      `the subnet of the VIP is on ${interfaceName} now, no more on ${place.interfaceName}`,
      {
        event: 'interface',
        interface: interfaceName,
      },
    );
  }

  /** Brings a router together with the interface as it is now, or apart from it. */
  private attachOne(router: Router): void {
    if (this.place === null) return;
    const { interfaceName, sourceByFamily } = this.place;
    const { family } = router.options.vip;
    const { config } = this.options;
    const verdict = findRouterLink(this.interfaces, interfaceName, family, config, sourceByFamily[family]);
    if (!verdict.usable) {
      this.onUnusable(router, verdict.reason);
      return;
    }
    const { link } = router;
    if (link !== null && describesSame(link, verdict.link)) return;
    if (link !== null && keepsSockets(link, verdict.link)) this.adopt(router, link, verdict.link);
    else {
      if (link !== null) router.detach(`${interfaceName} has changed`);
      this.lastReasons.delete(family);
      router.attach(verdict.link);
    }
    this.options.onChange();
  }

  private adopt(router: Router, before: RouterLink, link: RouterLink): void {
    if (String(before.mac) !== String(link.mac)) {
      const text = `${link.name} has another hardware address: whoever has the VIP here announces it anew`;
      this.options.log('info', text, { event: 'interface', interface: link.name });
    }
    router.adopt(link);
  }

  private onUnusable(router: Router, reason: string): void {
    const { family, vip } = { family: router.options.vip.family, vip: router.options.vip.text };
    router.detach(reason);
    if (this.lastReasons.get(family) === reason) return;
    this.lastReasons.set(family, reason);
    this.options.log('warn', `out of the election for ${vip}: ${reason}`, {
      event: 'interface',
      family,
      vip,
    });
    this.options.onChange();
  }

  private onNetlinkError(error: Error): void {
    this.rereadTimer ??= setTimeout(() => void this.rereadAgain(), REREAD_MS);
    const suppressed = this.logLimit.take('netlink', monotonicMs());
    if (suppressed === null) return;
    this.options.log('warn', `rtnetlink: ${error.message}; reading links and addresses again`, {
      event: 'netlink',
      suppressed,
    });
  }

  private async rereadAgain(): Promise<void> {
    this.rereadTimer = null;
    try {
      await this.reread();
      this.attachAll();
      await this.strays.sweepAgain();
    } catch (error) {
      this.onNetlinkError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private async reread(): Promise<void> {
    this.interfaces.beginReading();
    this.interfaces.replace(await this.netlink.links(), await this.netlink.addresses());
    const present = new Set(
      this.interfaces.allAddresses().map(({ linkIndex, address }) => `${linkIndex} ${address.text}`),
    );
    for (const router of this.routers) {
      const { link } = router;
      const { vip } = router.options;
      if (router.leased && link !== null && !present.has(`${link.index} ${vip.text}`))
        router.onAddressRemoved(link.index, vip);
    }
  }
}

/** Sockets are bound to an interface's index, and send from one address. */
function keepsSockets(a: RouterLink, b: RouterLink): boolean {
  return a.index === b.index && a.source.text === b.source.text;
}

function describesSame(a: RouterLink, b: RouterLink): boolean {
  return keepsSockets(a, b) && a.name === b.name && String(a.mac) === String(b.mac);
}

/** Whether the configuration knows no other node, in either family. */
function isOnlyNode({ peers, vrrp }: Config): boolean {
  const count = (family: Family): number => peers.filter((peer) => peer.family === family).length;
  return Math.max(count('IPv4'), count('IPv6'), vrrp.linkLocalPeers.length) <= 1;
}

/** `auto`: by this node's place among the peers of its own family, first is highest. */
function prioritiesOf(config: Config, self: IpAddress): Record<HealthClass, number> {
  const { priority } = config.vrrp;
  if (priority !== 'auto') return configuredPriorities(priority);
  const peers = config.peers.filter((peer) => peer.family === self.family);
  return autoPriorities(
    peers.findIndex((peer) => peer.text === self.text),
    peers.length,
  );
}
