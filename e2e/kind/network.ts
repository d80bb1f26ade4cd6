/** The segment of the nodes: a bridge of the engine, open between its own ports whatever else the machine filters. */
import { CONTAINERS, GATEWAY_IPV4, GATEWAY_IPV6, NETWORK, SUBNET_IPV4, SUBNET_IPV6 } from './addresses.ts';
import { attempt, run } from './command.ts';

const BRIDGE = NETWORK;
const FILTERS = ['iptables', 'ip6tables'];

function betweenPorts(bridge: string): string[] {
  return ['FORWARD', '--in-interface', bridge, '--out-interface', bridge, '--jump', 'ACCEPT'];
}

/**
 * Where br_netfilter is loaded, frames between two ports of a bridge pass the machine's FORWARD chain, and an engine
 * that ran there before has set its policy to DROP.
 */
export async function openBridge(bridge: string): Promise<void> {
  for (const filter of FILTERS) await run([filter, '--wait', '--insert', ...betweenPorts(bridge)]);
}

/** Does nothing where it is not open. */
export async function closeBridge(bridge: string): Promise<void> {
  for (const filter of FILTERS) {
    // Once for each run that nobody could clean up after.
    while ((await attempt([filter, '--wait', '--delete', ...betweenPorts(bridge)])).exitCode === 0);
  }
}

export async function createNetwork(): Promise<void> {
  await run([
    ...['docker', 'network', 'create', NETWORK, '--ipv6'],
    ...['--opt', `com.docker.network.bridge.name=${BRIDGE}`],
    ...['--opt', 'com.docker.network.driver.mtu=1500'],
    ...['--subnet', SUBNET_IPV4, '--gateway', GATEWAY_IPV4],
    ...['--subnet', SUBNET_IPV6, '--gateway', GATEWAY_IPV6],
  ]);
  await openBridge(BRIDGE);
}

/**
 * With whatever is on it: kind's nodes, or machines without kind, which have the same names. Does nothing where there
 * is none.
 */
export async function removeNetwork(): Promise<void> {
  await attempt(['docker', 'rm', '--force', '--volumes', ...CONTAINERS]);
  await attempt(['docker', 'network', 'rm', NETWORK]);
  await closeBridge(BRIDGE);
}
