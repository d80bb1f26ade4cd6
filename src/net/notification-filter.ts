/**
 * Which rtnetlink notifications wake this process (linux/filter.h on a netlink(7) socket). kube-proxy, container
 * networks and bulk changes cause thousands of notifications that say nothing about the VIP's interface. Pure.
 */
import type { IpAddress } from '../ip/address.ts';
import {
  ACCEPT,
  DROP,
  INDEX_IS,
  INDEX_IS_ACCUMULATOR,
  type Instruction,
  JUMP_IF_EQUAL,
  LOAD_CONSTANT,
  LOAD_HALF_AT,
  LOAD_WORD_AT,
  LOAD_WORD_AT_INDEX,
  type SocketFilter,
} from './bpf.ts';
import { IFA_ADDRESS, IFA_LOCAL, IFADDRMSG_BYTES, RTM_DELADDR, RTM_NEWADDR } from './rtnetlink-messages.ts';

/** SKF_AD_OFF + SKF_AD_NLATTR: the offset of the attribute of type X at or behind offset A; 0 where there is none. */
const ATTRIBUTE = 0xfffff000 + 12;

// struct nlmsghdr, then struct ifinfomsg or struct ifaddrmsg: both have the interface's index at the same offset.
const TYPE_AT = 4;
const MESSAGE_AT = 16;
const LINK_INDEX_AT = MESSAGE_AT + 4;
/** struct nlattr: length and type. */
const ATTRIBUTE_HEADER_BYTES = 4;

/** What a notification must be about to be delivered. */
export type Interest = {
  /** Everything about this interface. */
  readonly linkIndex: number;
  /** These addresses, on whichever interface. */
  readonly addresses: readonly IpAddress[];
};

/** The filter that delivers what is of interest, and drops the rest inside the kernel. */
export function notificationFilter({ linkIndex, addresses }: Interest): SocketFilter {
  const lookups = addresses.map(isAddress);
  const total = lookups.reduce((sum, lookup) => sum + lookup.length, 0);
  return [
    [LOAD_WORD_AT, 0, 0, LINK_INDEX_AT],
    [JUMP_IF_EQUAL, 0, 1, swapped32(linkIndex)],
    ACCEPT,
    [LOAD_HALF_AT, 0, 0, TYPE_AT],
    [JUMP_IF_EQUAL, 1, 0, swapped16(RTM_NEWADDR)],
    [JUMP_IF_EQUAL, 0, total, swapped16(RTM_DELADDR)],
    ...lookups.flat(),
    DROP,
  ];
}

/** Accepts a message about this address; any other goes on behind the returned instructions. */
function isAddress({ family, octets }: IpAddress): Instruction[] {
  const words = Buffer.from(octets);
  const wordCount = words.length / 4;
  // An IPv4 address is IFA_LOCAL, also on a point-to-point link; an IPv6 one without a peer is IFA_ADDRESS alone.
  const attribute = family === 'IPv4' ? IFA_LOCAL : IFA_ADDRESS;
  const comparison = Array.from({ length: wordCount }, (_, index): Instruction[] => {
    // To behind the ACCEPT that follows the last comparison.
    const remaining = 2 * (wordCount - index - 1) + 1;
    return [
      [LOAD_WORD_AT_INDEX, 0, 0, ATTRIBUTE_HEADER_BYTES + 4 * index],
      [JUMP_IF_EQUAL, 0, remaining, words.readUInt32BE(4 * index)],
    ];
  }).flat();
  return [
    [LOAD_CONSTANT, 0, 0, MESSAGE_AT + IFADDRMSG_BYTES],
    [INDEX_IS, 0, 0, attribute],
    [LOAD_WORD_AT, 0, 0, ATTRIBUTE],
    [JUMP_IF_EQUAL, comparison.length + 2, 0, 0],
    [INDEX_IS_ACCUMULATOR, 0, 0, 0],
    ...comparison,
    ACCEPT,
  ];
}

/** Netlink is in the host's byte order, little-endian on x86-64 and arm64; a filter loads big-endian. */
function swapped32(value: number): number {
  const octets = Buffer.alloc(4);
  octets.writeUInt32LE(value);
  return octets.readUInt32BE();
}

function swapped16(value: number): number {
  const octets = Buffer.alloc(2);
  octets.writeUInt16LE(value);
  return octets.readUInt16BE();
}
