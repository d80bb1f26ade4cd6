/** The election of this node: its virtual routers, on the interface that they share. Main thread only. */
import { knownSenders, type Config } from '../config/config.ts';
import type { Family, IpAddress } from '../ip/address.ts';
import { errorText } from '../log/error-text.ts';
import type { Log } from '../log/log.ts';
import { isLocalAddress } from '../net/local-address.ts';
import { monotonicMs } from '../runtime/clock.ts';
import type { Authentication } from '../vrrp/advertisement.ts';
import type { LeaseCalls } from '../vrrp/driver/kernel-lease.ts';
import { SYSTEM_CLOCK } from '../vrrp/driver/router-clock.ts';
import { type RouterLink, openRouterSockets } from '../vrrp/driver/router-sockets.ts';
import { Router, type RouterSnapshot } from '../vrrp/driver/router.ts';
import type { HealthClass } from '../node/health-class.ts';
import { VirtualRouter } from '../vrrp/virtual-router.ts';
import type { LinkVerdict } from './network/interfaces.ts';
import { prioritiesOf } from './node.ts';
import type { NetworkView, Place } from './network/view.ts';

export type ElectionOptions = {
  readonly config: Config;
  readonly log: Log;
  /** Binds, renews and removes addresses in the kernel. */
  readonly leaseCalls: LeaseCalls;
  /** This address is about to leave the kernel: resolves when its connections are closed; see RouterOptions. */
  readonly closeVip: (vip: IpAddress, handedOver: boolean) => Promise<void>;
  /** Anything that /status shows has changed. */
  readonly onChange: () => void;
  /** See RouterOptions. */
  readonly onLost: (active: IpAddress) => void;
};

/** A router whose deadline is overdue by this much is not being served. */
const OVERDUE_MS = 3000;

export class Election {
  readonly #options: ElectionOptions;
  readonly #self: IpAddress;
  readonly #routers: readonly Router[];
  #place: string | null;
  readonly #lastReasons = new Map<Family, string>();

  /** Takes part from `show` on, at this place. */
  constructor(options: ElectionOptions, place: Place) {
    this.#options = options;
    this.#self = place.self;
    this.#place = place.interfaceName;
    this.#routers = options.config.vips.map((vip) => this.#createRouter(vip));
    for (const router of this.#routers) router.give({ type: 'startup' });
  }

  /** Null after the end. */
  get interfaceName(): string | null {
    return this.#place;
  }

  /** This is what the network looks like now: takes part wherever the interface can be used. */
  show({ place, links }: NetworkView): void {
    if (this.#place === null || place === null) return;
    this.#place = place.interfaceName;
    for (const router of this.#routers) {
      const verdict = links[router.options.vip.family];
      if (verdict !== undefined) this.#attachOne(router, verdict);
    }
  }

  /** A VIP has gone from a link, and this daemon has not removed it. */
  onAddressGone(linkIndex: number, address: IpAddress): void {
    for (const router of this.#routers) router.onAddressGone(linkIndex, address);
  }

  setHealth(healthClass: HealthClass, confirmedAtMs: number): void {
    for (const router of this.#routers) router.give({ type: 'health', class: healthClass, confirmedAtMs });
  }

  drain(force: boolean): void {
    for (const router of this.#routers) router.give({ type: 'drain', force });
    this.#options.onChange();
  }

  undrain(): void {
    for (const router of this.#routers) router.give({ type: 'undrain' });
    this.#options.onChange();
  }

  /** Hands over and leaves; resolves when no router is Active any more. */
  async stop(handover: boolean, text: string): Promise<void> {
    const stops = this.#routers.map(
      (router) => new Promise<void>((resolve) => router.shutdown(handover, text, resolve)),
    );
    await Promise.all(stops);
    // What happens to the interface from here on is no longer ours.
    this.#place = null;
  }

  /** Whether deadlines are being served: false means that the election is wedged though its thread turns. */
  works(): boolean {
    return this.#routers.every((router) => monotonicMs() - router.deadlineMs < OVERDUE_MS);
  }

  get isDrained(): boolean {
    return this.#routers.some((router) => router.isDrained);
  }

  /** Whether this node is Active for any VIP. */
  get isActive(): boolean {
    return this.#routers.some(({ isActive }) => isActive);
  }

  snapshots(): RouterSnapshot[] {
    return this.#routers.map((router) => router.snapshot());
  }

  #createRouter(vip: IpAddress): Router {
    const { config, log } = this.#options;
    const { vrrp } = config;
    const authentication: Authentication =
      vrrp.authPass === null ? { type: 'none' } : { type: 'pass', password: vrrp.authPass };
    return new Router({
      vrid: vrrp.vrid,
      vip,
      core: new VirtualRouter({
        version: vrrp.version,
        priorities: prioritiesOf(config, this.#self),
        advertisementIntervalMs: vrrp.advertisementIntervalMs,
        preempt: vrrp.preempt,
        preemptDelayMs: vrrp.preemptDelayMs,
        isAlone: isOnlyNode(config),
      }),
      authentication,
      checksumForm: vrrp.checksum,
      senders: knownSenders(config, vip.family),
      unicast: vrrp.transport === 'unicast',
      leaseCalls: this.#options.leaseCalls,
      isPresent: () => isLocalAddress(vip),
      openSockets: openRouterSockets,
      clock: SYSTEM_CLOCK,
      log,
      closeVip: (handedOver, onEnd) => this.#closeVip(vip, handedOver, onEnd),
      onChange: this.#options.onChange,
      // A node is drained as a whole: half of it would stay away from elections, and nobody would know.
      onDrainFailed: () => this.undrain(),
      onLost: this.#options.onLost,
    });
  }

  /** The address goes all the same when that fails: another node may have it already. */
  #closeVip(vip: IpAddress, handedOver: boolean, onEnd: () => void): void {
    const { closeVip, log } = this.#options;
    closeVip(vip, handedOver).then(onEnd, (error: unknown) => {
      const text = `cannot reset the connections of ${vip.text} before it is removed: ${errorText(error)}`;
      log('warn', text, { event: 'close_vip', vip: vip.text });
      onEnd();
    });
  }

  /** Brings a router together with the interface as it is now, or apart from it. */
  #attachOne(router: Router, verdict: LinkVerdict): void {
    const { family } = router.options.vip;
    if (!verdict.usable) {
      this.#onUnusable(router, verdict.reason, verdict.lacks === 'source');
      return;
    }
    const { link } = router;
    if (link !== null && describesSame(link, verdict.link)) return;
    if (link !== null && keepsSockets(link, verdict.link)) this.#adopt(router, link, verdict.link);
    else {
      if (link !== null) router.detach(`${verdict.link.name} has changed`);
      this.#lastReasons.delete(family);
      router.attach(verdict.link);
    }
    this.#options.onChange();
  }

  #adopt(router: Router, before: RouterLink, link: RouterLink): void {
    if (String(before.mac) !== String(link.mac)) {
      const text = `${link.name} has another hardware address: this node announces the VIP again if it holds it`;
      this.#options.log('info', text, { event: 'interface', interface: link.name });
    }
    router.adopt(link);
  }

  #onUnusable(router: Router, reason: string, handover: boolean): void {
    const { family, vip } = { family: router.options.vip.family, vip: router.options.vip.text };
    router.detach(reason, handover);
    if (this.#lastReasons.get(family) === reason) return;
    this.#lastReasons.set(family, reason);
    this.#options.log('warn', `out of the election for ${vip}: ${reason}`, {
      event: 'interface',
      family,
      vip,
    });
    this.#options.onChange();
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
  const lists = [peers, vrrp.senders].flatMap((list) =>
    (['IPv4', 'IPv6'] as const).map((family) => list.filter((one) => one.family === family)),
  );
  return Math.max(...lists.map(({ length }) => length)) <= 1;
}
