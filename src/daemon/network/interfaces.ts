/** Which interface the election can use now, from what the kernel says about links and addresses. Pure. */
import type { Config } from '../../config/config.ts';
import { type Family, type IpAddress, HOST_PREFIX_BY_FAMILY } from '../../ip/address.ts';
import { type InterfaceAddress, type Link, type NetlinkChange } from '../../net/rtnetlink-messages.ts';
import type { RouterLink } from '../../vrrp/driver/router-sockets.ts';
import { describeNoSource, findSource, fitLink, linkNamed } from '../node.ts';

/** The links and addresses of this host, kept up to date by notifications. */
export class InterfaceTable {
  readonly #links = new Map<number, Link>();
  /** By link, then by address and prefix length: a node may have tens of thousands of addresses on another link. */
  readonly #addresses = new Map<number, Map<string, InterfaceAddress>>();
  /** Null while nothing is being read. */
  #changesWhileReading: NetlinkChange[] | null = null;

  /** Everything is being read, until `replace`: what changes meanwhile may be newer than what has been read. */
  beginReading(): void {
    this.#changesWhileReading = [];
  }

  replace(links: readonly Link[], addresses: readonly InterfaceAddress[]): void {
    this.#links.clear();
    this.#addresses.clear();
    for (const link of links) this.#links.set(link.index, link);
    for (const address of addresses) this.#addressesOn(address.linkIndex).set(keyOf(address), address);
    const changes = this.#changesWhileReading ?? [];
    this.#changesWhileReading = null;
    for (const change of changes) this.apply(change);
  }

  /** The reading failed: what was known before, and has changed since, holds. */
  abandonReading(): void {
    this.#changesWhileReading = null;
  }

  apply(change: NetlinkChange): void {
    this.#changesWhileReading?.push(change);
    switch (change.kind) {
      case 'link':
        this.#links.set(change.link.index, change.link);
        break;
      case 'linkRemoved':
        this.#links.delete(change.index);
        this.#addresses.delete(change.index);
        break;
      case 'addressAdded':
        this.#addressesOn(change.address.linkIndex).set(keyOf(change.address), change.address);
        break;
      case 'addressRemoved':
        this.#addresses.get(change.address.linkIndex)?.delete(keyOf(change.address));
        break;
    }
  }

  /** By its name or by a further one that the kernel knows it by. */
  linkByName(name: string): Link | null {
    return linkNamed(name, this.#links.values()) ?? null;
  }

  allLinks(): Link[] {
    return [...this.#links.values()];
  }

  allAddresses(): InterfaceAddress[] {
    return [...this.#addresses.values()].flatMap((ofLink) => [...ofLink.values()]);
  }

  /** Whether any link has the address, with whichever prefix length. */
  has(address: IpAddress): boolean {
    for (const linkIndex of this.#addresses.keys()) if (this.hasOn(linkIndex, address)) return true;
    return false;
  }

  /** Whether this link has the address, with whichever prefix length. */
  hasOn(linkIndex: number, { family, text }: IpAddress): boolean {
    const ofLink = this.#addresses.get(linkIndex);
    if (ofLink === undefined) return false;
    const longest = HOST_PREFIX_BY_FAMILY[family];
    for (let prefixLength = 0; prefixLength <= longest; prefixLength += 1) {
      if (ofLink.has(`${text}/${prefixLength}`)) return true;
    }
    return false;
  }

  addressesOf(linkIndex: number): InterfaceAddress[] {
    return [...(this.#addresses.get(linkIndex)?.values() ?? [])];
  }

  #addressesOn(linkIndex: number): Map<string, InterfaceAddress> {
    const known = this.#addresses.get(linkIndex);
    if (known !== undefined) return known;
    const made = new Map<string, InterfaceAddress>();
    this.#addresses.set(linkIndex, made);
    return made;
  }
}

/**
 * The name of the interface that VIPs belong on now: the configured one, else `current` while it has a VIP's subnet,
 * else the one that has it. A network card that comes back, or a container's network, may have another name than
 * before.
 */
export function findInterface(table: InterfaceTable, config: Config, current: string): string {
  if (config.interface !== null) return table.linkByName(config.interface)?.name ?? config.interface;
  return fitLink(config, table.allLinks(), table.allAddresses(), current)?.name ?? current;
}

export type LinkVerdict =
  | { readonly usable: true; readonly link: RouterLink }
  /**
   * `reason` completes a sentence: "eth0 has no carrier". A link that lacks a source is up, and only has no address to
   * send from. `linkIndex` is null where there is no such link.
   */
  | {
      readonly usable: false;
      readonly reason: string;
      readonly lacks: 'link' | 'source';
      readonly linkIndex: number | null;
    };

/**
 * Whether a router of `family` can use the interface `name` now, and what it sends from; see findSource. A node that
 * began with an address of peers there (`startedFrom`) does not go on with another one: its peers would drop what it
 * sends, and there would be two Actives.
 */
export function findRouterLink(
  table: InterfaceTable,
  name: string,
  family: Family,
  config: Config,
  startedFrom: IpAddress | null = null,
): LinkVerdict {
  const link = table.linkByName(name);
  if (link === null)
    return { usable: false, reason: `there is no interface ${name}`, lacks: 'link', linkIndex: null };
  const linkIndex = link.index;
  if (!link.up)
    return { usable: false, reason: `${name} is down or has no carrier`, lacks: 'link', linkIndex };
  const own = table
    .addressesOf(link.index)
    .filter(({ address }) => config.vips.every((vip) => vip.text !== address.text));
  const settled = own.filter(({ tentative }) => !tentative);
  const source = findSource(family, config, settled);
  const isPeer = (address: IpAddress): boolean => config.peers.some(({ text }) => text === address.text);
  if (source !== null && startedFrom !== null && isPeer(startedFrom) && !isPeer(source))
    return {
      usable: false,
      reason: describeNoSource(family, config, link, settled),
      lacks: 'source',
      linkIndex,
    };
  if (source !== null) return { usable: true, link: { index: link.index, name, mac: link.mac, source } };
  const unsettled = findSource(family, config, own);
  const reason =
    unsettled === null
      ? describeNoSource(family, config, link, own)
      : `${name} cannot send from ${unsettled.text} until duplicate address detection has passed it; "dadfailed" in "ip address show ${name}" means that another host had it too: then take it away and add it again, or set the link down and up`;
  return { usable: false, reason, lacks: 'source', linkIndex };
}

function keyOf({ address, prefixLength }: InterfaceAddress): string {
  return `${address.text}/${prefixLength}`;
}
