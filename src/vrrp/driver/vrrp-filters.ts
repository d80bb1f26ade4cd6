/** Filters of VRRP, for raw sockets. */
import type { Family, IpAddress } from '../../ip/address.ts';
import {
  ACCEPT,
  addressIs,
  checked,
  DROP,
  type Instruction,
  JUMP,
  JUMP_IF_GREATER,
  LOAD_LENGTH,
  NETWORK_HEADER,
  octetIs,
  OTHERWISE,
  RETURN,
  type SocketFilter,
} from '../../net/bpf.ts';
import { fromAnyOf, isSentOnLink } from '../../net/on-link-filter.ts';
import { IP_LAYOUT, IPV4_WITHOUT_OPTIONS } from '../../wire/ip.ts';

/** The data of a raw socket begins with the IPv4 header, or behind the IPv6 header and its extensions (raw(7)). */
const MESSAGE_OFFSET: Record<Family, number> = { IPv4: IP_LAYOUT.IPv4.headerBytes, IPv6: 0 };
/** The low half of a VRRP message's first octet (RFC 9568 5.2.2). */
const ADVERTISEMENT = 1;

/** What a filter leaves of a packet that was not sent on this link: enough to be counted. */
export const OFF_LINK_BYTES = 1;
const CUT: Instruction = [RETURN, 0, 0, OFF_LINK_BYTES];

/**
 * Of IPv6 packets, only those to one destination, and whole only with hop limit 255 (RFC 9568 5.1.2.3: others MUST be
 * discarded); of others OFF_LINK_BYTES are left. An IPv6 raw socket is told neither destination nor hop limit, and gets
 * every group that any process of the host has joined.
 */
export function hopLimit255To(destination: IpAddress): SocketFilter {
  const whole = [...checked(isSentOnLink('IPv6'), 1), ACCEPT, CUT];
  return [
    ...checked(addressIs(NETWORK_HEADER + IP_LAYOUT.IPv6.destinationAt, destination), whole.length),
    ...whole,
    DROP,
  ];
}

/**
 * Checks that there are the two octets of a message which are looked at: to load what is not there drops the packet.
 */
function isLongEnough(family: Family): Instruction[] {
  return [
    [LOAD_LENGTH, 0, 0, 0],
    [JUMP_IF_GREATER, 0, OTHERWISE, MESSAGE_OFFSET[family] + 1],
  ];
}

/** What marks the advertisements of one virtual router before they are decoded. */
export type ExpectedAdvertisements = {
  /** 1-255 */
  readonly vrid: number;
  readonly version: 2 | 3;
  /** Who sends them, 255 at most; null: anybody on the link. */
  readonly sources: readonly IpAddress[] | null;
};

/**
 * Shares VRRP out to two sockets: one that an advertisement which could be accepted comes to, and one for all the rest,
 * so that no amount of that fills the queue of the former. Over IPv6 both want only what hopLimit255To leaves. What
 * comes from `self`, this router's own address, is nobody's advertisement, whoever sent it.
 */
export function advertisementFilters(
  destination: IpAddress,
  self: IpAddress,
  expected: ExpectedAdvertisements,
): { readonly expected: SocketFilter; readonly unexpected: SocketFilter } {
  const rest = destination.family === 'IPv4' ? [ACCEPT] : hopLimit255To(destination);
  return {
    expected: sharedOut(destination, self, expected, { verdict: ACCEPT, rest: [DROP] }),
    unexpected: sharedOut(destination, self, expected, { verdict: DROP, rest }),
  };
}

/** `verdict` for what is expected; `rest` goes on with what is not. */
function sharedOut(
  destination: IpAddress,
  self: IpAddress,
  { vrid, version, sources }: ExpectedAdvertisements,
  { verdict, rest }: { readonly verdict: Instruction; readonly rest: SocketFilter },
): SocketFilter {
  const { family } = destination;
  const messageAt = MESSAGE_OFFSET[family];
  const header = [
    // Without options, as the message is looked for where it then is; and IPv4 sockets tell destinations apart.
    ...(family === 'IPv4'
      ? octetIs(NETWORK_HEADER, IPV4_WITHOUT_OPTIONS)
      : addressIs(NETWORK_HEADER + IP_LAYOUT.IPv6.destinationAt, destination)),
    ...isSentOnLink(family),
    ...isLongEnough(family),
    ...octetIs(messageAt, (version << 4) | ADVERTISEMENT),
    ...octetIs(messageAt + 1, vrid),
  ];
  const fromSources = sources === null ? [verdict] : fromAnyOf(sources, verdict);
  const fromSelf = fromAnyOf([self], [JUMP, 0, 0, fromSources.length]);
  // A conditional jump reaches 255 instructions, and the sources can be more: `rest` stands on both sides of them.
  return [...checked(header, 1), [JUMP, 0, 0, rest.length], ...rest, ...fromSelf, ...fromSources, ...rest];
}
