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
 * The VIPs and the nodes' addresses that no host of the nodes' subnets can have. Nothing where this host is none of
 * `peers`: its subnets are then those of other networks.
 */
export function findReservedAddresses(config: Config, subnets: readonly Subnet[]): ConfigProblem[] {
  const { vips, peers, vrrp } = config;
  if (!peers.some((peer) => subnets.some(({ address }) => address.text === peer.text))) return [];
  // Linux lets a host have the first address of an IPv6 subnet; as a VIP it is that of every router there.
  const isIpv4 = ({ family }: IpAddress): boolean => family === 'IPv4';
  const lists = { vip: vips, peers: peers.filter(isIpv4), 'vrrp.senders': vrrp.senders.filter(isIpv4) };
  return Object.entries(lists).flatMap(([path, addresses]) =>
    addresses.flatMap((address) => {
      const what = describeReserved(address, subnets);
      if (what === null) return [];
      const message = `expected the address of a host; this is ${what}`;
      return [{ path, value: quoteValue(address.text), message, where: null }];
    }),
  );
}
