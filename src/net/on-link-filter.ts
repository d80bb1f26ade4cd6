/**
 * Filters of packets that were sent on this link: with TTL or hop limit 255, as a router would have lowered it
 * (RFC 5082). For sockets of IP, whose packets have an IP header that the kernel has already read.
 */
import type { Family, IpAddress } from '../ip/address.ts';
import { IP_LAYOUT } from '../wire/ip.ts';
import {
  ACCEPT,
  addressIs,
  checked,
  DROP,
  type Instruction,
  INTERFACE_INDEX,
  JUMP,
  JUMP_IF_EQUAL,
  LOAD_HALF_AT,
  LOAD_WORD_AT,
  NETWORK_HEADER,
  octetIs,
  OTHERWISE,
  type SocketFilter,
} from './bpf.ts';

/** Where a UDP socket's data begins for a filter: at the UDP header, whose first field is the source port. */
const UDP_SOURCE_PORT_AT = 0;

/** The check itself, as a part of a longer filter. */
export function isSentOnLink(family: Family): Instruction[] {
  return octetIs(NETWORK_HEADER + IP_LAYOUT[family].hopLimitAt, 255);
}

/** `verdict` for a packet from one of `sources`, all of one family; a packet from elsewhere goes on behind it. */
export function fromAnyOf(sources: readonly IpAddress[], verdict: Instruction): Instruction[] {
  return sources.flatMap((source) => [
    ...checked(addressIs(NETWORK_HEADER + IP_LAYOUT[source.family].sourceAt, source), 1),
    verdict,
  ]);
}

/** What marks the datagrams of neighbors that use the same port as this host. */
export type ExpectedDatagrams = {
  readonly family: Family;
  /** Of that family, 255 at most. */
  readonly sources: readonly IpAddress[];
  readonly sourcePort: number;
  /** Of the interface that they come in by. */
  readonly linkIndex: number;
};

/** Of datagrams, only those that a neighbor has sent on this link from its socket of that port. For UDP sockets. */
export function datagramsOfNeighbors(expected: ExpectedDatagrams): SocketFilter {
  const { family, sources, sourcePort, linkIndex } = expected;
  const header: Instruction[] = [
    ...isSentOnLink(family),
    [LOAD_WORD_AT, 0, 0, INTERFACE_INDEX],
    [JUMP_IF_EQUAL, 0, OTHERWISE, linkIndex],
    [LOAD_HALF_AT, 0, 0, UDP_SOURCE_PORT_AT],
    [JUMP_IF_EQUAL, 0, OTHERWISE, sourcePort],
  ];
  // A conditional jump reaches 255 instructions, and the sources can be more.
  return [...checked(header, 1), [JUMP, 0, 0, 1], DROP, ...fromAnyOf(sources, ACCEPT), DROP];
}
