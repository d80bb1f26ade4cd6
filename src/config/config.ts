/** The configuration as the rest of the program sees it: parsed once, typed, every default filled in. Pure. */
import { isLinkLocal, type Family, type IpAddress } from '../ip/address.ts';

export type Config = {
  /** One address, or two of different families. */
  readonly vips: readonly IpAddress[];
  /** Null: found from the VIP's subnet, else from the default route. */
  readonly interface: string | null;
  /** At least one, distinct, none of them a VIP; this node is one of them. */
  readonly peers: readonly IpAddress[];
  readonly vrrp: {
    readonly vrid: number;
    readonly version: 2 | 3;
    readonly priority: 'auto' | number;
    /** Version 3: 10-40950 in whole centiseconds; version 2: whole seconds, 1000-255000. */
    readonly advertisementIntervalMs: number;
    readonly preempt: 'never' | 'unhealthy' | 'always';
    readonly preemptDelayMs: number;
    readonly transport: 'multicast' | 'unicast';
    /** The addresses that VRRP is sent from where they are not in peers; see knownSenders. */
    readonly senders: readonly IpAddress[];
    /** How version 3 over IPv4 is sent; IPv6 always has the pseudo-header and version 2 never. */
    readonly checksum: 'pseudo-header' | 'message';
    /** Version 2 only: 1-8 printable ASCII characters. */
    readonly authPass: string | null;
  };
  readonly proxy: {
    readonly port: number;
    readonly backendPort: number;
    readonly workers: number;
    /** Clients at a time; auto: what the limits on open files and memory allow. */
    readonly maxConnections: 'auto' | number;
    /** Clients at a time; 0: no limit. */
    readonly maxConnectionsPerSource: number;
    /** Empty: everybody. */
    readonly allowedSources: readonly { readonly address: IpAddress; readonly prefixLength: number }[];
    /** Per second; 0: no limit. */
    readonly acceptRate: number;
    /** 0: never. */
    readonly maxConnectionAgeMs: number;
  };
  readonly health: {
    readonly path: string;
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly rise: number;
    readonly fall: number;
    readonly caFile: string;
    /** Both or neither. */
    readonly clientCertFile: string | null;
    readonly clientKeyFile: string | null;
  };
  readonly admin: {
    /** Null: off. */
    readonly listen: { readonly address: IpAddress; readonly port: number } | null;
    /** Path of the control socket; null: off. */
    readonly socket: string | null;
  };
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'json' | 'text';
  };
};

/** The peers whose API servers are proxied to: those of the first VIP's family, or all where there are none of it. */
export function backendPeers({ vips, peers }: Config): readonly IpAddress[] {
  const sameFamily = peers.filter(({ family }) => family === vips[0]?.family);
  return sameFamily.length > 0 ? sameFamily : peers;
}

/** The families of the VIPs, each once, that of the first one first. */
export function vipFamilies({ vips }: Config): readonly Family[] {
  return [...new Set(vips.map(({ family }) => family))];
}

/** Those of `vrrp.senders` that advertisements of this family can come from, by the transport. */
export function listedSenders({ vrrp }: Config, family: Family): readonly IpAddress[] {
  // RFC 9568 5.1.2.1: IPv6 multicast has a link-local source; unicast and IPv4 have the address that others know.
  const wantsLinkLocal = family === 'IPv6' && vrrp.transport === 'multicast';
  return vrrp.senders.filter((one) => one.family === family && isLinkLocal(one) === wantsLinkLocal);
}

/** The addresses that advertisements of this family come from, as far as the configuration knows them. */
export function knownSenders(config: Config, family: Family): readonly IpAddress[] {
  const listed = listedSenders(config, family);
  if (listed.length > 0 || (family === 'IPv6' && config.vrrp.transport === 'multicast')) return listed;
  return config.peers.filter((peer) => peer.family === family);
}
