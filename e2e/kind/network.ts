/** The segment that the nodes are on: a bridge of the engine, open between its own ports whatever else the machine filters. */
import { GATEWAY_IPV4, GATEWAY_IPV6, NETWORK, SUBNET_IPV4, SUBNET_IPV6 } from './addresses.ts';
import { attempt, run } from './command.ts';

const BRIDGE = NETWORK;
const FILTERS = ['iptables', 'ip6tables'];
/**
 * Where br_netfilter is loaded, frames between two ports of a bridge pass the machine's FORWARD chain, and an engine that
 * ran there before has set its policy to DROP.
 */
const OPEN = ['FORWARD', '--in-interface', BRIDGE, '--out-interface', BRIDGE, '--jump', 'ACCEPT'];

export async function createNetwork(): Promise<void> {
  await run([
    ...['docker', 'network', 'create', NETWORK, '--ipv6'],
    ...['--opt', `com.docker.network.bridge.name=${BRIDGE}`],
    ...['--opt', 'com.docker.network.driver.mtu=1500'],
    ...['--subnet', SUBNET_IPV4, '--gateway', GATEWAY_IPV4],
    ...['--subnet', SUBNET_IPV6, '--gateway', GATEWAY_IPV6],
  ]);
  for (const filter of FILTERS) await run([filter, '--wait', '--insert', ...OPEN]);
}

/** Does nothing where there is none. */
export async function removeNetwork(): Promise<void> {
  await attempt(['docker', 'network', 'rm', NETWORK]);
  for (const filter of FILTERS) {
    // Once for each run that nobody could clean up after.
    while ((await attempt([filter, '--wait', '--delete', ...OPEN])).exitCode === 0);
  }
}
