/**
 * The segment of the cluster. The addresses are those of the examples in README.md and docs, so that what stands there
 * can be typed on the nodes as it is.
 */

export const NETWORK = 'kube-vrrp-e2e';
export const CLUSTER = 'kube-vrrp-e2e';

const IPV4_PREFIX = '192.168.100.';
const IPV6_PREFIX = 'fd00:100::';

export const SUBNET_IPV4 = `${IPV4_PREFIX}0/24`;
export const SUBNET_IPV6 = `${IPV6_PREFIX}/64`;
export const GATEWAY_IPV4 = `${IPV4_PREFIX}254`;
export const GATEWAY_IPV6 = `${IPV6_PREFIX}fe`;
export const VIP_IPV4 = `${IPV4_PREFIX}10`;
export const VIP_IPV6 = `${IPV6_PREFIX}10`;
export const PORT = 36_443;

/**
 * kind's names for three control planes, a worker, and the load balancer that it insists on; nothing goes through that.
 */
export const CONTROL_PLANES = ['control-plane', 'control-plane2', 'control-plane3'].map(
  (role) => `${CLUSTER}-${role}`,
);
export const WORKER = `${CLUSTER}-worker`;
export const LOAD_BALANCER = `${CLUSTER}-external-load-balancer`;

/** Every container that kind makes, in the order of its last octet, from 1. */
export const CONTAINERS: readonly string[] = [...CONTROL_PLANES, WORKER, LOAD_BALANCER];

export function ipv4Of(container: string): string {
  return `${IPV4_PREFIX}${CONTAINERS.indexOf(container) + 1}`;
}

export function ipv6Of(container: string): string {
  return `${IPV6_PREFIX}${CONTAINERS.indexOf(container) + 1}`;
}
