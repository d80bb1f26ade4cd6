/**
 * The proxy's port is one that the kernel may also give to a connection of this node, such as one of an API server to
 * its etcd. Whoever has it then, and for as long, keeps kube-vrrp from listening.
 */
import { readFileSync } from 'node:fs';

import type { Config } from '../../config/config.ts';
import { ok, warn, type CheckResult } from './result.ts';

const NAME = 'port reserved';
const FOLDER = '/proc/sys/net/ipv4';

/**
 * `range`: two numbers; `reserved`: numbers and ranges with commas between them, or nothing (ip-sysctl in the kernel's
 * documentation: ip_local_port_range, ip_local_reserved_ports).
 */
export function judgeReserved(port: number, range: string, reserved: string): CheckResult {
  const [first = 0, last = 0] = range.trim().split(/\s+/).map(Number);
  if (port < first || port > last) {
    return ok(NAME, `the kernel gives ${port} to no connection of this node`);
  }
  const isReserved = reserved
    .trim()
    .split(',')
    .some((entry) => {
      const [low, high = low] = entry.split('-');
      return entry !== '' && port >= Number(low) && port <= Number(high);
    });
  if (isReserved) return ok(NAME, `${port} is in net.ipv4.ip_local_reserved_ports`);
  const message = `the kernel may give ${port} to a connection of this node (${first} to ${last}), and kube-vrrp could not listen then`;
  const fix = `add ${port} to net.ipv4.ip_local_reserved_ports, by sysctl -w for now and in /etc/sysctl.d for the next boot`;
  return warn(NAME, message, fix);
}

/** Of the proxy's port, on this node. */
export function checkReserved({ proxy }: Config): CheckResult {
  const read = (name: string): string => readFileSync(`${FOLDER}/${name}`, 'utf8');
  return judgeReserved(proxy.port, read('ip_local_port_range'), read('ip_local_reserved_ports'));
}
