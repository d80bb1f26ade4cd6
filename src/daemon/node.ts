/**
 * Which interface and addresses of this host the configuration means. The daemon and `check` share these rules. Pure:
 * it looks only at what rtnetlink has read.
 */
import { knownSenders, listedSenders, vipFamilies, type Config } from '../config/config.ts';
import {
  formatNetwork,
  inPrefix,
  isLinkLocal,
  reservedIn,
  type Family,
  type IpAddress,
} from '../ip/address.ts';
import type { HealthClass } from '../node/health-class.ts';
import { autoPriorities, configuredPriorities } from '../vrrp/priority.ts';
import type { InterfaceAddress, Link, Route } from '../net/rtnetlink-messages.ts';

export type ResolvedNode = {
  /** The interface that VIPs are bound on and VRRP is spoken on. It may be down. */
  readonly link: Link;
  /** The first of `peers` that this host has, on whichever interface. */
  readonly self: IpAddress;
  /** Place of `self` in `peers`. */
  readonly peerIndex: number;
  /**
   * What advertisements are sent from; null where the link has no fit address, which is no problem without a VIP of
   * that family.
   */
  readonly sourceByFamily: Readonly<Record<Family, IpAddress | null>>;
  /** By VIP text: the subnet of the link that the VIP is in. A VIP without one has a warning. */
  readonly subnetByVip: ReadonlyMap<string, Subnet>;
  /** One sentence each: what may be wrong, where, and after the last colon what to do. */
  readonly warnings: readonly string[];
};

/** A network whose hosts are on the link: that of an address of this host, or that of an on-link route. */
type Subnet = Pick<InterfaceAddress, 'linkIndex' | 'address' | 'prefixLength'>;

export type NodeProblem = {
  /**
   * `no-link`: the interface is not there (yet). `vip-off-link`: a VIP is in no subnet of the link. `vip-reserved`: no
   * host can have the VIP. `not-a-peer`: no peer is an address of this host. `no-source`: the link has no address to
   * send advertisements of a VIP's family from.
   */
  readonly reason: 'no-link' | 'vip-off-link' | 'vip-reserved' | 'not-a-peer' | 'no-source';
  /** One sentence: what is wrong, where, and what to do. */
  readonly text: string;
};

export type NodeResolution =
  | { readonly ok: true; readonly node: ResolvedNode }
  | {
      readonly ok: false;
      /** The link, where at least that was found. */
      readonly link: Link | null;
      readonly sourceByFamily: ResolvedNode['sourceByFamily'];
      readonly problems: readonly NodeProblem[];
    };

const LISTED_MAX = 8;

function listTexts(texts: readonly string[]): string {
  const more = texts.length > LISTED_MAX ? ` and ${texts.length - LISTED_MAX} more` : '';
  return texts.length === 0 ? 'none' : texts.slice(0, LISTED_MAX).join(', ') + more;
}

/**
 * Those of this host's addresses, and behind them those of on-link routes: an address of DHCPv6 is a /128, whose
 * network the router's advertisement tells. Addresses of VIPs themselves have been taken out.
 */
function subnetsOf(addresses: readonly InterfaceAddress[], routes: readonly Route[]): Subnet[] {
  return [...addresses, ...routes.filter(({ prefixLength }) => prefixLength > 0)];
}

/** The subnet that has the VIP, the longest prefix first. */
function subnetOf(vip: IpAddress, subnets: readonly Subnet[]): Subnet | null {
  const holders = subnets.filter(({ address, prefixLength }) => inPrefix(vip, address, prefixLength));
  return holders.toSorted((a, b) => b.prefixLength - a.prefixLength)[0] ?? null;
}

/** The best subnet for choosing a link by: longest prefix, then that of a peer, then the lowest index. */
function linkIndexBySubnet(config: Config, subnets: readonly Subnet[]): number | null {
  const isPeer = ({ address }: Subnet): number =>
    config.peers.some(({ text }) => text === address.text) ? 1 : 0;
  for (const vip of config.vips) {
    const holders = subnets.filter(({ address, prefixLength }) => inPrefix(vip, address, prefixLength));
    const [best] = holders.toSorted(
      (a, b) => b.prefixLength - a.prefixLength || isPeer(b) - isPeer(a) || a.linkIndex - b.linkIndex,
    );
    if (best !== undefined) return best.linkIndex;
  }
  return null;
}

/** By its name, or by one of its further ones. */
export function linkNamed(name: string, links: Iterable<Link>): Link | undefined {
  const all = [...links];
  return all.find((link) => link.name === name) ?? all.find(({ altNames }) => altNames.includes(name));
}

function findLink(
  config: Config,
  links: readonly Link[],
  subnets: readonly Subnet[],
  routes: readonly Route[],
): Link | NodeProblem {
  if (config.interface !== null) {
    const named = linkNamed(config.interface, links);
    if (named !== undefined) return named;
    const text = `interface ${config.interface} does not exist: this node has ${listTexts(links.map(({ name }) => name))}`;
    return { reason: 'no-link', text };
  }
  const index = linkIndexBySubnet(config, subnets) ?? defaultRouteLinkIndex(config, routes);
  const found = links.find((link) => link.index === index);
  if (found !== undefined) return found;
  const vips = config.vips.map(({ text }) => text).join(' and ');
  const text = `no interface has a subnet with vip ${vips}, and there is no default route: set interface, or choose a vip from a subnet of this node`;
  return { reason: 'no-link', text };
}

/** The link of the default route of the first VIP's family, the one of lowest metric; null: none. */
function defaultRouteLinkIndex({ vips: [vip] }: Config, routes: readonly Route[]): number | null {
  const defaults = routes.filter(
    ({ address, prefixLength }) => prefixLength === 0 && address.family === vip?.family,
  );
  return defaults.toSorted((a, b) => a.metric - b.metric)[0]?.linkIndex ?? null;
}

/** Not tentative if possible: the kernel does not send from an address before it has checked for duplicates. */
function settledFirst(addresses: readonly InterfaceAddress[]): IpAddress | null {
  return (addresses.find(({ tentative }) => !tentative) ?? addresses[0])?.address ?? null;
}

/**
 * Whether the others in the subnet of this address know it not: they listen to peers alone, so that what comes from it
 * is dropped, and there would be two Actives. Where no peer is in its subnet, VRRP has a network of its own.
 */
function isStrangerToPeers({ address, prefixLength }: InterfaceAddress, { peers }: Config): boolean {
  const isPeer = peers.some(({ text }) => text === address.text);
  return !isPeer && peers.some((peer) => inPrefix(peer, address, prefixLength));
}

/**
 * One of the known senders: of vrrp.senders where it has such, else of peers. Where neither has an address of this
 * link, IPv4 multicast is sent from any that is in no subnet with peers, and IPv6 multicast from the link-local one
 * (RFC 9568 5.1.2.1); unless vrrp.senders says that only others are believed.
 */
export function findSource(
  family: Family,
  config: Config,
  onLink: readonly InterfaceAddress[],
): IpAddress | null {
  const ofFamily = onLink.filter(({ address }) => address.family === family);
  const known = knownSenders(config, family);
  const fitting = ofFamily.filter(({ address }) => known.some(({ text }) => text === address.text));
  // Of several the one that stands first in the list, so that every node means the same.
  const first = known.find(({ text }) => fitting.some(({ address }) => address.text === text));
  if (family === 'IPv6' && config.vrrp.transport === 'multicast' && fitting.length > 0)
    return settledFirst(fitting);
  if (first !== undefined) return first;
  if (config.vrrp.transport === 'unicast' || listedSenders(config, family).length > 0) return null;
  if (family === 'IPv4') return settledFirst(ofFamily.filter((one) => !isStrangerToPeers(one, config)));
  return settledFirst(ofFamily.filter(({ address }) => isLinkLocal(address)));
}

function vipsOffLink(config: Config, subnets: readonly Subnet[]): IpAddress[] {
  return config.vips.filter((vip) => subnetOf(vip, subnets) === null);
}

/** Each VIP that is in no subnet of the link, as the beginning of a sentence. */
function describeOffLink(config: Config, link: Link, subnets: readonly Subnet[]): string[] {
  const networks = subnets
    .filter(({ address }) => !isLinkLocal(address))
    .map(({ address, prefixLength }) => formatNetwork(address, prefixLength));
  const list = listTexts([...new Set(networks)]);
  return vipsOffLink(config, subnets).map(
    ({ text }) => `vip ${text} is in no subnet of ${link.name} (${list})`,
  );
}

/** Where the user has named the interface, a router may send the VIP's packets to this link all the same. */
function vipWarnings(config: Config, link: Link, subnets: readonly Subnet[]): string[] {
  if (config.interface === null) return [];
  return describeOffLink(config, link, subnets).map(
    (what) => `${what}: this works where the routers of the network send its packets to this link`,
  );
}

function linkWarnings({ vips }: Config, { name, mac }: Link): string[] {
  if (mac !== null) return [];
  const list = vips.map(({ text }) => text).join(' and ');
  const text = `${name} has no Ethernet address, so that ${list} cannot be announced there when it moves: set interface to an Ethernet link, or see that the network finds the holder by itself`;
  return [text];
}

/** Where IPv4 is sent from an address that no list has, the others' addresses are not known either. */
function senderWarnings(config: Config, { IPv4: source }: ResolvedNode['sourceByFamily']): string[] {
  const isUsed = vipFamilies(config).includes('IPv4');
  if (source === null || !isUsed || knownSenders(config, 'IPv4').some(({ text }) => text === source.text))
    return [];
  return [
    `VRRP is sent from ${source.text}, which is not in peers, so that any host of its network is believed: list the addresses of all nodes on that network in vrrp.senders, on every node`,
  ];
}

function vipProblems(config: Config, link: Link, subnets: readonly Subnet[]): NodeProblem[] {
  if (config.interface !== null) return [];
  return describeOffLink(config, link, subnets).map((what) => ({
    reason: 'vip-off-link',
    text: `${what}: choose an address in one of them, or set interface if the network routes the VIP to that link`,
  }));
}

/**
 * What is wrong with a VIP that is no host's in one of these subnets, without what to do; null where it is a host's.
 */
export function describeReserved(
  vip: IpAddress,
  subnets: readonly Omit<Subnet, 'linkIndex'>[],
): string | null {
  for (const { address, prefixLength } of subnets) {
    const place = reservedIn(vip, address, prefixLength);
    if (place !== null) return `the ${place} of ${formatNetwork(address, prefixLength)}`;
  }
  return null;
}

function reservedProblems(config: Config, subnets: readonly Subnet[]): NodeProblem[] {
  return config.vips.flatMap((vip) => {
    const what = describeReserved(vip, subnets);
    if (what === null) return [];
    const text = `vip ${vip.text} is ${what}, which no host can have: choose another address of that subnet`;
    return [{ reason: 'vip-reserved' as const, text }];
  });
}

function sourcesOn(config: Config, onLink: readonly InterfaceAddress[]): ResolvedNode['sourceByFamily'] {
  return { IPv4: findSource('IPv4', config, onLink), IPv6: findSource('IPv6', config, onLink) };
}

/** Families of VIPs whose advertisements could not be sent. */
function familiesWithoutSource(config: Config, sources: ResolvedNode['sourceByFamily']): Family[] {
  return vipFamilies(config).filter((family) => sources[family] === null);
}

/** Why `link` has nothing to send advertisements of the family from; `onLink` are its addresses, without the VIPs. */
export function describeNoSource(
  family: Family,
  config: Config,
  { name }: Pick<Link, 'name'>,
  onLink: readonly InterfaceAddress[],
): string {
  const ofFamily = onLink.filter(({ address }) => address.family === family);
  const wantsLinkLocal = family === 'IPv6' && config.vrrp.transport === 'multicast';
  const fitting = ofFamily.filter(({ address }) => isLinkLocal(address) === wantsLinkLocal);
  if (fitting.length > 0) {
    const mine = listTexts(fitting.map(({ address }) => address.text));
    const key = listedSenders(config, family).length > 0 ? 'vrrp.senders' : 'peers';
    return `${name} has ${mine} and no ${family} address of ${key}, so the other nodes would drop its advertisements: add its address to ${key} on every node, or set interface to the one that has this node's address of ${key}`;
  }
  if (wantsLinkLocal)
    return `${name} has no IPv6 link-local address to send VRRP from: turn IPv6 on there (sysctl net.ipv6.conf.${name}.disable_ipv6=0)`;
  return `${name} has no ${family} address to send VRRP from: give it one`;
}

function peerProblem(config: Config, own: readonly InterfaceAddress[]): NodeProblem {
  const usable = own.filter(({ address }) => !isLinkLocal(address) && !/^(?:127\.|::1$)/.test(address.text));
  const mine = listTexts(usable.map(({ address }) => address.text));
  const peers = listTexts(config.peers.map(({ text }) => text));
  const text = `peers [${peers}] does not include any address of this node (${mine}): add it, in the same place on every node`;
  return { reason: 'not-a-peer', text };
}

/** A VIP that is bound already says nothing about which subnets this node is in. */
function withoutVips(config: Config, addresses: readonly InterfaceAddress[]): InterfaceAddress[] {
  return addresses.filter(({ address }) => !config.vips.some(({ text }) => text === address.text));
}

/** Place in `peers` of the first one that is an address of this host; -1: none is. */
function ownPeerIndex(config: Config, own: readonly InterfaceAddress[]): number {
  return config.peers.findIndex(({ text }) => own.some(({ address }) => address.text === text));
}

/**
 * The link that a node without a configured interface should be on: `current`, a link's name, while everything that
 * resolveNode demands is there, else the one that has the VIP's subnet. Null where neither will do.
 */
export function fitLink(
  config: Config,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
  current: string,
): Link | null {
  const own = withoutVips(config, addresses);
  if (ownPeerIndex(config, own) < 0) return null;
  const isFit = (link: Link | undefined): link is Link => {
    if (link === undefined) return false;
    const onLink = own.filter(({ linkIndex }) => linkIndex === link.index);
    if (vipsOffLink(config, onLink).length > 0) return false;
    return familiesWithoutSource(config, sourcesOn(config, onLink)).length === 0;
  };
  const now = links.find(({ name }) => name === current);
  if (isFit(now)) return now;
  const index = linkIndexBySubnet(config, own);
  const other = links.find((link) => link.index === index);
  return isFit(other) ? other : null;
}

/**
 * Finds the link, this node's own address and the source addresses, or says all that is in the way.
 * `addresses` are those of all links; `routes` are those of the VIPs' families: the default route counts only where
 * `interface` is not set and no link has the VIP's subnet.
 */
export function resolveNode(
  config: Config,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[],
): NodeResolution {
  const own = withoutVips(config, addresses);
  const peerIndex = ownPeerIndex(config, own);
  const self = config.peers[peerIndex] ?? null;
  const notAPeer = self === null ? [peerProblem(config, own)] : [];
  const subnets = subnetsOf(own, routes);
  const link = findLink(config, links, subnets, routes);
  if ('reason' in link) {
    const sourceByFamily = { IPv4: null, IPv6: null };
    return { ok: false, link: null, sourceByFamily, problems: [link, ...notAPeer] };
  }

  const onLink = own.filter(({ linkIndex }) => linkIndex === link.index);
  const subnetsOnLink = subnets.filter(({ linkIndex }) => linkIndex === link.index);
  const sourceByFamily = sourcesOn(config, onLink);
  // Where peers lack this node, a link with addresses is not to blame.
  const lacking = familiesWithoutSource(config, sourceByFamily).filter(
    (family) => self !== null || onLink.every(({ address }) => address.family !== family),
  );
  const problems: NodeProblem[] = [
    ...vipProblems(config, link, subnetsOnLink),
    ...reservedProblems(config, subnetsOnLink),
    ...notAPeer,
    ...lacking.map((family) => ({
      reason: 'no-source' as const,
      text: describeNoSource(family, config, link, onLink),
    })),
  ];
  if (self === null || problems.length > 0) return { ok: false, link, sourceByFamily, problems };

  const subnetByVip = new Map<string, Subnet>();
  for (const vip of config.vips) {
    const subnet = subnetOf(vip, subnetsOnLink);
    if (subnet !== null) subnetByVip.set(vip.text, subnet);
  }
  const warnings = [
    ...vipWarnings(config, link, subnetsOnLink),
    ...linkWarnings(config, link),
    ...senderWarnings(config, sourceByFamily),
  ];
  return { ok: true, node: { link, self, peerIndex, sourceByFamily, subnetByVip, warnings } };
}

/** What this node advertises in each class. `auto`: by its place among the peers of its own family, highest first. */
export function prioritiesOf(config: Config, self: IpAddress): Record<HealthClass, number> {
  const { priority } = config.vrrp;
  if (priority !== 'auto') return configuredPriorities(priority);
  const peers = config.peers.filter((peer) => peer.family === self.family);
  return autoPriorities(
    peers.findIndex((peer) => peer.text === self.text),
    peers.length,
  );
}
