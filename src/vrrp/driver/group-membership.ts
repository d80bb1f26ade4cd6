/**
 * The membership of an interface in VRRP's multicast group (ip(7), ipv6(7)). Joining takes the kernel's configuration
 * lock (rtnl), which any program can hold for seconds, and so does closing a socket that has joined. The election's own
 * sockets have no membership: the interface receives the group while any socket of the host has one.
 */
import type { Family } from '../../ip/address.ts';
import { libc, required } from '../../net/libc.ts';
import {
  AF_INET,
  AF_INET6,
  IP_ADD_MEMBERSHIP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_ADD_MEMBERSHIP,
  SOCK_DGRAM,
} from '../../net/linux.ts';
import { openSocket } from '../../net/socket.ts';
import { VRRP_GROUP } from '../group.ts';

/** Joins VRRP_GROUP on the interface; returns what ends the membership. Throws NetError: ENODEV when it is gone. */
export function openGroupMembership(family: Family, linkIndex: number): () => void {
  const group = VRRP_GROUP[family].text;
  const domain = family === 'IPv4' ? AF_INET : AF_INET6;
  const fd = openSocket({ domain, type: SOCK_DGRAM }, `cannot open a socket for ${group}`, (socket) => {
    const result =
      family === 'IPv4'
        ? join(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, ipv4Membership(linkIndex))
        : join(socket, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, ipv6Membership(linkIndex));
    required(result, `cannot join ${group} on link ${linkIndex}`);
  });
  return () => {
    libc.close(fd);
  };
}

function join(fd: number, level: number, option: number, request: Buffer): number {
  return libc.setsockopt(fd, level, option, request, request.length);
}

/** struct ip_mreqn: group, no address, interface index. */
function ipv4Membership(linkIndex: number): Buffer {
  const membership = Buffer.alloc(12);
  membership.set(VRRP_GROUP.IPv4.octets);
  membership.writeInt32LE(linkIndex, 8);
  return membership;
}

/** struct ipv6_mreq: group, interface index. */
function ipv6Membership(linkIndex: number): Buffer {
  const membership = Buffer.alloc(20);
  membership.set(VRRP_GROUP.IPv6.octets);
  membership.writeInt32LE(linkIndex, 16);
  return membership;
}
