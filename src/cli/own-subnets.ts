/** What the subnets of this host say about a configuration, before anything is opened. */
import { networkInterfaces } from 'node:os';

import type { Config } from '../config/config.ts';
import { quoteValue, type ConfigProblem } from '../config/problem.ts';
import { describeReserved } from '../daemon/node.ts';
import { parseSocketAddress, type IpAddress } from '../ip/address.ts';

export type Subnet = { readonly address: IpAddress; readonly prefixLength: number };

/** The addresses of this host with their subnets, of all interfaces that are up. */
export function ownSubnets(): Subnet[] {
  const entries = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return entries.flatMap(({ address: text, cidr }) => {
    const address = parseSocketAddress(text);
    return address === null || cidr === null ? [] : [{ address, prefixLength: Number(cidr.split('/')[1]) }];
  });
}

/**
 * The VIPs that no host of the nodes' subnets can have. Nothing where this host is none of `peers`: its subnets are
 * then those of other networks.
 */
export function findReservedVips({ vips, peers }: Config, subnets: readonly Subnet[]): ConfigProblem[] {
  if (!peers.some((peer) => subnets.some(({ address }) => address.text === peer.text))) return [];
  return vips.flatMap((vip) => {
    const what = describeReserved(vip, subnets);
    if (what === null) return [];
    const message = `expected the address of a host; this is ${what}`;
    return [{ path: 'vip', value: quoteValue(vip.text), message, where: null }];
  });
}
