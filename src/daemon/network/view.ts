/**
 * What the election needs to know of this host's network, as one value that changes seldom. Pure: (table, now) -> view.
 */
import type { Config } from '../../config/config.ts';
import type { Family, IpAddress } from '../../ip/address.ts';
import { findInterface, findRouterLink, type InterfaceTable, type LinkVerdict } from './interfaces.ts';
import type { Route } from '../../net/rtnetlink-messages.ts';
import { type ResolvedNode, resolveNode } from '../node.ts';

/** Where this node stands. */
export type Place = {
  readonly interfaceName: string;
  /** This node's address among the peers. */
  readonly self: IpAddress;
  /** All members of `peers` that were addresses of this host when the place was found. */
  readonly ownPeers: readonly IpAddress[];
  /** What each family's advertisements were sent from when the place was found. */
  readonly sourceByFamily: ResolvedNode['sourceByFamily'];
  /** What is unusual about it, one sentence each. */
  readonly warnings: readonly string[];
};

export type NetworkView = {
  /** Null while the configuration does not fit this host; `problems` then has one sentence for each reason. */
  readonly place: Place | null;
  readonly problems: readonly string[];
  /** Of each VIP's family: whether the interface can be used now. Empty without a place. */
  readonly links: Readonly<Partial<Record<Family, LinkVerdict>>>;
};

/**
 * How long an interface that is up keeps its place without its source address. Network managers remove an address and
 * add it again within milliseconds when they re-apply a configuration. Advertisements carry their own source meanwhile.
 */
export const SOURCE_GRACE_MS = 300;

/** The view before the election has begun: everything is open, and any interface may come. */
export function viewBefore(config: Config, table: InterfaceTable, routes: readonly Route[]): NetworkView {
  const resolution = resolveNode(config, table.allLinks(), table.allAddresses(), routes);
  if (!resolution.ok) {
    const problems = resolution.problems.map(({ text }) => text);
    return { place: null, problems, links: {} };
  }
  const { link, self, sourceByFamily, warnings } = resolution.node;
  const ownPeers = config.peers.filter((peer) => table.has(peer));
  const place = { interfaceName: link.name, self, sourceByFamily, warnings, ownPeers };
  return { place, problems: [], links: linksOf(config, table, place) };
}

/** The view while the election runs, which was on the interface `current` of late. */
export function viewOf(config: Config, table: InterfaceTable, place: Place): NetworkView {
  const now = { ...place, interfaceName: findInterface(table, config, place.interfaceName) };
  return { place: now, problems: [], links: linksOf(config, table, now) };
}

function linksOf(
  config: Config,
  table: InterfaceTable,
  { interfaceName, sourceByFamily }: Place,
): NetworkView['links'] {
  const families = new Set(config.vips.map(({ family }) => family));
  const links: Partial<Record<Family, LinkVerdict>> = {};
  for (const family of families) {
    links[family] = findRouterLink(table, interfaceName, family, config, sourceByFamily[family]);
  }
  return links;
}

/** Whether every family can be used, so that nothing but this interface is of interest. */
export function isSettled({ place, links }: NetworkView): boolean {
  return place !== null && Object.values(links).every(({ usable }) => usable);
}

/** Holds the latest view, and whether a source address that has gone may still come back. */
export class SettledView {
  #view: NetworkView | null = null;
  /** Since when each family has been without the source address that the view still names. */
  readonly #missingSinceMs = new Map<Family, number>();

  get current(): NetworkView | null {
    return this.#view;
  }

  /** When the next look is due though nothing has changed, ms; Infinity: never. */
  get dueMs(): number {
    return Math.min(Infinity, ...[...this.#missingSinceMs.values()].map((ms) => ms + SOURCE_GRACE_MS));
  }

  /**
   * Takes what the network looks like at `nowMs`. Returns the view that results, or null when it is the same as before.
   */
  take(seen: NetworkView, nowMs: number): NetworkView | null {
    const links: Partial<Record<Family, LinkVerdict>> = {};
    for (const [family, verdict] of entriesOf(seen.links)) {
      links[family] = this.#withGrace(family, verdict, seen, nowMs);
    }
    const view = { ...seen, links };
    if (this.#view !== null && describe(this.#view) === describe(view)) return null;
    this.#view = view;
    return view;
  }

  #withGrace(family: Family, verdict: LinkVerdict, seen: NetworkView, nowMs: number): LinkVerdict {
    const before = this.#view?.links[family];
    const isWaitedFor =
      before?.usable === true &&
      !verdict.usable &&
      verdict.lacks === 'source' &&
      verdict.linkIndex === before.link.index &&
      this.#view?.place?.interfaceName === seen.place?.interfaceName;
    if (!isWaitedFor) {
      this.#missingSinceMs.delete(family);
      return verdict;
    }
    const sinceMs = this.#missingSinceMs.get(family) ?? nowMs;
    this.#missingSinceMs.set(family, sinceMs);
    if (nowMs - sinceMs < SOURCE_GRACE_MS) return before;
    this.#missingSinceMs.delete(family);
    return verdict;
  }
}

function entriesOf(links: NetworkView['links']): [Family, LinkVerdict][] {
  return Object.entries(links) as [Family, LinkVerdict][];
}

/** Equal texts mean equal views. */
function describe(view: NetworkView): string {
  return JSON.stringify(view, (key, value: unknown) => (key === 'octets' ? undefined : value));
}
