/** Checks of the network segment: who else has the VIP, and who else uses the virtual router ID. */
import { existsSync, readFileSync } from 'node:fs';

import { knownSenders, listedSenders, vipFamilies, type Config } from '../../config/config.ts';
import { ipFromOctets, isLinkLocal, type Family, type IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { hasCapability } from '../../runtime/process.ts';
import { probeAddress } from '../../vrrp/driver/address-claims.ts';
import type { InterfaceAddress, Link } from '../../net/rtnetlink-messages.ts';
import { openGroupMembership } from '../../vrrp/driver/group-membership.ts';
import { openVrrpSocket, type VrrpDatagram } from '../../vrrp/driver/vrrp-socket.ts';
import { decodeAdvertisement, type Advertisement } from '../../vrrp/advertisement.ts';
import { isIntervalOf } from '../../vrrp/intervals.ts';
import { fail, ok, skip, warn, type CheckResult } from './result.ts';

/** What a router on the segment advertised last. */
export type HeardRouter = {
  readonly family: Family;
  readonly source: IpAddress;
  readonly advertisement: Advertisement;
};

/** The interface as the checks of the segment need it. */
export type Segment = {
  readonly link: Link;
  readonly sourceByFamily: Readonly<Record<Family, IpAddress | null>>;
  /** What this node advertises, in whatever class; empty where its place among the peers is not known. */
  readonly priorities: readonly number[];
};

const PROBE_MS = 2000;
/** A segment with more routers than this is strange, and the list has served its purpose. */
const HEARD_MAX = 256;
/** Three intervals of the slowest default there is, 1 s, and a margin. */
const LISTEN_MIN_MS = 3500;
const LISTEN_MAX_MS = 30_000;

/** How long to listen so that an Active of this configuration cannot go unheard. */
export function listenMs(config: Config): number {
  return Math.min(LISTEN_MAX_MS, Math.max(LISTEN_MIN_MS, 3 * config.vrrp.advertisementIntervalMs));
}

/** The routers of one family that advertise on the segment, or why nothing was listened for. */
export type Listening = {
  readonly family: Family;
  readonly heard: readonly HeardRouter[];
  /** Null where it was listened for. */
  readonly refusal: string | null;
};

/** To listen as no particular host: multicast comes to every host of the link. */
const UNSPECIFIED: Readonly<Record<Family, IpAddress>> = {
  IPv4: ipFromOctets(new Uint8Array(4)),
  IPv6: ipFromOctets(new Uint8Array(16)),
};

/** The kernel then drops every IPv6 packet of the link, and joins groups all the same. */
function isIpv6Off(linkName: string): boolean {
  const path = `/proc/sys/net/ipv6/conf/${linkName}/disable_ipv6`;
  return !existsSync(path) || readFileSync(path, 'utf8').trim() !== '0';
}

/** Listens for the advertisements of one family; never rejects. */
async function listenFor(family: Family, config: Config, segment: Segment): Promise<Listening> {
  if (config.vrrp.transport === 'unicast' && segment.sourceByFamily[family] === null) {
    const refusal = `vrrp.transport is unicast, and ${segment.link.name} has no ${family} address of peers that others send to`;
    return { family, heard: [], refusal };
  }
  if (family === 'IPv6' && isIpv6Off(segment.link.name))
    return { family, heard: [], refusal: `IPv6 is off on ${segment.link.name} (disable_ipv6)` };
  try {
    return { family, heard: await hear(family, config, segment), refusal: null };
  } catch (error) {
    return { family, heard: [], refusal: errorText(error) };
  }
}

/** Throws NetError. */
async function hear(
  family: Family,
  config: Config,
  { link, sourceByFamily }: Segment,
): Promise<HeardRouter[]> {
  const source = sourceByFamily[family] ?? UNSPECIFIED[family];
  const multicast = config.vrrp.transport === 'multicast';
  const heard = new Map<string, HeardRouter>();
  let failure: Error | null = null;
  const onDatagram = (datagram: VrrpDatagram): void => {
    const result = decodeAdvertisement(datagram.payload, {
      family,
      source: datagram.source,
      destination: datagram.destination,
      ttl: datagram.ttl,
    });
    if (!result.ok) return;
    const key = `${datagram.source.text} ${result.advertisement.vrid}`;
    if (heard.size < HEARD_MAX || heard.has(key)) {
      heard.set(key, { family, source: datagram.source, advertisement: result.advertisement });
    }
  };
  const leaveGroup = multicast ? openGroupMembership(family, link.index) : null;
  const socket = openVrrpSocket({
    family,
    link,
    source,
    multicast,
    expected: { vrid: config.vrrp.vrid, version: config.vrrp.version, sources: null },
    onDatagram,
    onError: (error) => {
      failure ??= error;
    },
  });
  try {
    await new Promise((resolve) => {
      setTimeout(resolve, listenMs(config));
    });
  } finally {
    socket.close();
    leaveGroup?.();
  }
  if (failure !== null) throw failure;
  return [...heard.values()];
}

/** For all families of the VIPs. */
function listen(config: Config, segment: Segment): Promise<Listening[]> {
  return Promise.all(vipFamilies(config).map((family) => listenFor(family, config, segment)));
}

function addressTexts(addresses: readonly IpAddress[]): string[] {
  // Over IPv6 the first address is the link-local one of the virtual router (RFC 9568 5.2.9), which is nobody's VIP.
  return addresses.filter((address) => !isLinkLocal(address)).map(({ text }) => text);
}

/** The virtual router ID nearest above `vrid` that was not heard; null when all are taken. */
function freeVrid(vrid: number, heard: readonly HeardRouter[]): number | null {
  const taken = new Set(heard.map(({ advertisement }) => advertisement.vrid));
  for (let step = 1; step < 255; step += 1) {
    const candidate = ((vrid - 1 + step) % 255) + 1;
    if (!taken.has(candidate)) return candidate;
  }
  return null;
}

/** What this node sends. */
type Self = Omit<Segment, 'link'>;

/** Judges a router that uses our virtual router ID for our VIP: a node of this cluster, if all is well. */
function judgeFellow(config: Config, self: Self, { source, advertisement }: HeardRouter): CheckResult {
  const { vrrp } = config;
  const own = self.sourceByFamily[source.family];
  const who = `${source.text} advertises ${addressTexts(advertisement.addresses).join(', ')} with vrid ${vrrp.vrid}`;
  if (advertisement.version !== vrrp.version) {
    const fix = 'set the same vrrp.version on all nodes';
    return fail(
      'vrid',
      `${who} in VRRP version ${advertisement.version}, and vrrp.version here is ${vrrp.version}`,
      fix,
    );
  }
  const key = listedSenders(config, source.family).length > 0 ? 'vrrp.senders' : 'peers';
  const members = knownSenders(config, source.family);
  // As the daemon: where its own address is in no list, those of the others are not known.
  const isKnown = own === null ? members.length > 0 : members.some(({ text }) => text === own.text);
  if (isKnown && !members.some(({ text }) => text === source.text)) {
    const fix = `add it to ${key} on every node if it is one of them; else stop VRRP there, or choose another vip and vrid`;
    return fail('vrid', `${who}, and is not in ${key}`, fix);
  }
  if (!isIntervalOf(vrrp, advertisement.advertisementIntervalMs)) {
    const message = `${who} each ${advertisement.advertisementIntervalMs} ms, and here it is ${vrrp.advertisementIntervalMs} ms`;
    const fix = 'set the same vrrp.advertisementInterval on all nodes';
    // Version 2 discards what differs (RFC 3768 7.1); version 3 follows the Active (RFC 9568 7.1).
    return vrrp.version === 2 ? fail('vrid', message, fix) : warn('vrid', message, fix);
  }
  const { priority } = advertisement;
  if (self.priorities.includes(priority)) {
    const fix =
      'give each node a vrrp.priority of its own, or with auto the same peers in the same order on all nodes';
    return warn('vrid', `${who} and priority ${priority}, which is one of this node's own`, fix);
  }
  return ok('vrid', `${who}, as a node of this cluster should`);
}

/** Judges who else uses the virtual router ID on the segment. */
export function judgeVrid(
  config: Config,
  { link: { name: linkName }, ...self }: Self & { readonly link: Pick<Link, 'name'> },
  listenings: readonly Listening[],
): CheckResult[] {
  const { vrid } = config.vrrp;
  const refused = listenings.flatMap(({ family, refusal }) =>
    refusal === null ? [] : [notListened(family, vrid, linkName, { why: refusal, fix: null })],
  );
  const listened = listenings.filter(({ refusal }) => refusal === null);
  if (listened.length === 0) return refused;
  const heard = listened.flatMap((listening) => listening.heard);
  return [...judgeHeard(config, { linkName, ...self }, heard), ...refused];
}

function notListened(
  family: Family,
  vrid: number,
  linkName: string,
  { why, fix }: { readonly why: string; readonly fix: string | null },
): CheckResult {
  const message = `did not listen for other ${family} routers of vrid ${vrid} on ${linkName}: ${why}`;
  return skip('vrid', message, fix);
}

function judgeHeard(
  config: Config,
  { linkName, ...self }: Self & { readonly linkName: string },
  heard: readonly HeardRouter[],
): CheckResult[] {
  const { vrid } = config.vrrp;
  const same = heard.filter(({ advertisement }) => advertisement.vrid === vrid);
  if (same.length === 0) {
    const others = [...new Set(heard.map(({ advertisement }) => advertisement.vrid))].toSorted(
      (a, b) => a - b,
    );
    const also = others.length === 0 ? '' : `; in use are ${others.join(', ')}`;
    const seconds = listenMs(config) / 1000;
    return [ok('vrid', `no other router used vrid ${vrid} on ${linkName} in ${seconds} s${also}`)];
  }
  return same.map((router) => {
    const { family, source, advertisement } = router;
    const theirs = addressTexts(advertisement.addresses);
    const ours = config.vips.filter((vip) => vip.family === family).map(({ text }) => text);
    if (theirs.length === ours.length && theirs.every((text) => ours.includes(text)))
      return judgeFellow(config, self, router);
    const free = freeVrid(vrid, heard);
    const fix =
      free === null
        ? 'free a vrid on this segment'
        : `set vrrp.vrid to one that is free, such as ${free}, on all nodes`;
    return fail(
      'vrid',
      `vrid ${vrid} is in use on ${linkName} by ${source.text} for ${theirs.join(', ')}`,
      fix,
    );
  });
}

/** What is known about one VIP. */
export type VipSighting = {
  /** Where this host itself has it; null where it has not. */
  readonly bound: { readonly linkName: string; readonly address: InterfaceAddress } | null;
  /** The hardware address of another host that answers for it. */
  readonly answeredBy: string | null;
};

/** Judges whether a VIP is free, or held by whom it should be. */
export function judgeVip(
  vip: IpAddress,
  config: Config,
  sighting: VipSighting,
  { heard, refusal }: Pick<Listening, 'heard' | 'refusal'>,
): CheckResult {
  const { bound, answeredBy } = sighting;
  const holder = heard.find(
    ({ advertisement }) =>
      advertisement.vrid === config.vrrp.vrid &&
      advertisement.addresses.some(({ text }) => text === vip.text),
  );
  if (bound !== null && bound.address.validSeconds === null) {
    const { linkName, address } = bound;
    const fix = `stop what puts it there (keepalived, a network configuration), and "ip address del ${vip.text}/${address.prefixLength} dev ${linkName}"`;
    return fail(
      'vip',
      `${vip.text} is configured on ${linkName} of this node for ever, so not by kube-vrrp`,
      fix,
    );
  }
  if (bound !== null)
    return ok('vip', `${vip.text} is bound on ${bound.linkName} of this node, as a lease of kube-vrrp`);
  if (answeredBy === null) {
    return holder === undefined
      ? ok('vip', `no host answers for ${vip.text}`)
      : warn(
          'vip',
          `${holder.source.text} advertises ${vip.text}, but no host answers for it`,
          'see "kube-vrrp status" there',
        );
  }
  if (holder !== undefined) {
    return ok(
      'vip',
      `${vip.text} is held by ${holder.source.text} (${answeredBy}), which advertises it with vrid ${config.vrrp.vrid}`,
    );
  }
  if (refusal !== null) {
    const message = `${vip.text} is answered for by ${answeredBy}; whether that is a node of this cluster is not known, as VRRP was not listened for`;
    return warn('vip', message, 'see to the vrid check, then check again');
  }
  const fix = 'choose an address that is free (and outside every DHCP range), or take it from that host';
  return fail(
    'vip',
    `${vip.text} is answered for by ${answeredBy}, which does not advertise it with vrid ${config.vrrp.vrid}`,
    fix,
  );
}

/** Asks the segment who has a VIP that this host has not. Throws NetError. */
async function sightVip(
  vip: IpAddress,
  segment: Segment,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
): Promise<VipSighting> {
  const address = addresses.find((candidate) => candidate.address.text === vip.text);
  if (address !== undefined) {
    const linkName =
      links.find(({ index }) => index === address.linkIndex)?.name ?? `link ${address.linkIndex}`;
    return { bound: { linkName, address }, answeredBy: null };
  }
  return { bound: null, answeredBy: await probeAddress(segment.link, null, vip, PROBE_MS) };
}

/** Listens and asks at once, then judges. Takes `listenMs(config)`. */
export async function checkSegment(
  config: Config,
  segment: Segment,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
): Promise<CheckResult[]> {
  const { link } = segment;
  if (!link.up) return notLookedFor(config, link.name, 'it is down', 'bring the interface up');
  if (!hasCapability('NET_RAW')) {
    return notLookedFor(config, link.name, 'NET_RAW is missing', 'run this with NET_RAW');
  }
  const sight = async (vip: IpAddress): Promise<readonly [IpAddress, VipSighting | Unseen]> => [
    vip,
    await trySightVip(vip, segment, links, addresses),
  ];
  const [listenings, sightings] = await Promise.all([
    listen(config, segment),
    Promise.all(config.vips.map(sight)),
  ]);
  const vips = sightings.map(([vip, sighting]) => {
    if ('unseen' in sighting) return notAsked(vip.text, link.name, sighting.unseen, null);
    const { heard = [], refusal = null } = listenings.find(({ family }) => family === vip.family) ?? {};
    return judgeVip(vip, config, sighting, { heard, refusal });
  });
  return [...vips, ...judgeVrid(config, segment, listenings)];
}

/** Why it was not found out. */
type Unseen = { readonly unseen: string };

/** As sightVip, but never rejects. */
async function trySightVip(
  vip: IpAddress,
  segment: Segment,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
): Promise<VipSighting | Unseen> {
  try {
    return await sightVip(vip, segment, links, addresses);
  } catch (error) {
    return { unseen: errorText(error) };
  }
}

function notAsked(vips: string, linkName: string, why: string, fix: string | null): CheckResult {
  return skip('vip', `did not ask ${linkName} whether another host has ${vips}: ${why}`, fix);
}

/** The results where nothing of the segment can be looked at, because of `why`. */
export function notLookedFor(config: Config, linkName: string, why: string, fix: string): CheckResult[] {
  const vips = config.vips.map(({ text }) => text).join(' and ');
  const then = `${fix}, then check again`;
  return [
    notAsked(vips, linkName, why, then),
    ...vipFamilies(config).map((family) =>
      notListened(family, config.vrrp.vrid, linkName, { why, fix: then }),
    ),
  ];
}
