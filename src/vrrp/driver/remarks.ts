/** What the log says about packets that are dropped, or that should not differ from this node's own. */
import type { IpAddress } from '../../ip/address.ts';
import type { Advertisement } from '../advertisement.ts';
import { classOfPriority } from '../priority.ts';
import type { Mismatch, ReceiveOptions, RejectReason } from '../receive.ts';

const REJECT_TEXT: Readonly<Record<RejectReason, string>> = {
  ttl: 'its TTL or hop limit is not 255, as if it came through a router (a keepalived that sends IPv6 unicast needs unicast_ttl 255)',
  truncated: 'it is shorter than its header says',
  version: 'its version is neither 2 nor 3',
  type: 'it is not an advertisement',
  vrid_zero: 'its VRID is 0',
  address_count: 'it has no address',
  length: 'it is longer than its header says',
  interval: 'its interval is 0',
  authentication_type: 'its authentication type is unknown',
  checksum: 'its checksum is wrong',
  own_address:
    "its sender has this node's own address: the network sends back what this node sent, or another host uses the address",
  source_not_in_peers:
    'its sender is in neither peers nor vrrp.senders: if it is a node of this cluster, set the same lists on all nodes',
  other_vrid: 'its VRID is another one',
  other_version: 'it is of another VRRP version: set the same vrrp.version on all',
  authentication: 'its authentication does not match: set the same vrrp.authPass on all',
  interval_mismatch: 'version 2 demands the same vrrp.advertisementInterval on all',
  other_addresses: 'another group uses this VRID, for other addresses: give one of the two another vrrp.vrid',
};

/** The second half of "dropped a VRRP packet from ...: ". */
export function describeReject(reason: RejectReason): string {
  return REJECT_TEXT[reason];
}

/** One sentence: who says what, what this node says, and what to change. */
export function describeMismatch(
  mismatch: Mismatch,
  advertisement: Advertisement,
  source: IpAddress,
  own: ReceiveOptions,
): string {
  if (mismatch === 'interval') {
    const intervals = `each ${advertisement.advertisementIntervalMs} ms, this node each ${own.advertisementIntervalMs} ms`;
    return `${source.text} advertises ${intervals}: set the same vrrp.advertisementInterval on all`;
  }
  if (mismatch === 'priority') {
    const { priority } = advertisement;
    return `${source.text} advertises priority ${priority}, as this node does in class ${classOfPriority(priority)}, so that both would take over at once: give each node a vrrp.priority of its own, or with auto the same peers in the same order on all`;
  }
  const list = (addresses: readonly IpAddress[]): string =>
    addresses.map((address) => address.text).join(', ');
  const whose = `VRID ${own.vrid} for ${list(advertisement.addresses)}, this node for ${list(own.addresses)}`;
  return `${source.text} advertises ${whose}: give one group another vrrp.vrid, or all the same vip`;
}
