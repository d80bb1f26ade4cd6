/** Checks of this host alone: capabilities, the open file limit, the interface and the addresses. */
import { readFileSync } from 'node:fs';

import { vipFamilies, type Config } from '../../config/config.ts';
import { resolveNode, type NodeProblem, type NodeResolution } from '../../daemon/node.ts';
import { formatNetwork } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { hasCapability } from '../../runtime/process.ts';
import type { InterfaceAddress, Link } from '../../net/rtnetlink-messages.ts';
import { RtNetlink } from '../../net/rtnetlink.ts';
import { fail, ok, warn, type CheckResult } from './result.ts';

/** What rtnetlink says about this host. */
export type HostNetwork = {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly resolution: NodeResolution;
};

const CAPABILITIES = {
  NET_ADMIN: 'to add the VIP to the interface',
  NET_RAW: 'to send and receive VRRP and ARP',
} as const;

/** One result for the capabilities that the daemon cannot do without. */
export function checkCapabilities(): CheckResult {
  const missing = Object.entries(CAPABILITIES).filter(
    ([name]) => !hasCapability(name as keyof typeof CAPABILITIES),
  );
  if (missing.length === 0) return ok('capabilities', 'NET_ADMIN and NET_RAW are there');
  const names = missing.map(([name]) => name).join(' and ');
  const purposes = missing.map(([name, purpose]) => `${name} ${purpose}`).join(', ');
  return fail(
    'capabilities',
    `${names} missing; kube-vrrp needs ${purposes}`,
    `run this as root, or add ${names} to securityContext.capabilities.add of the container`,
  );
}

/** A connection through the proxy has two descriptors, one for the client and one for the API server. */
const DESCRIPTORS_PER_CLIENT = 2;
const FEW_DESCRIPTORS = 8192;

/** Judges the soft limit of open files in the text of /proc/PID/limits (proc_pid_limits(5)). */
export function judgeFileLimit(limits: string): CheckResult {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited';
  if (soft === 'unlimited') return ok('open files', 'no limit');
  const clients = Math.floor(Number(soft) / DESCRIPTORS_PER_CLIENT);
  const message = `the limit of ${soft} open files has room for about ${clients} clients`;
  if (Number(soft) >= FEW_DESCRIPTORS) return ok('open files', message);
  return warn('open files', message, 'raise it (LimitNOFILE of the container runtime, or ulimit -n)');
}

export function checkFileLimit(): CheckResult {
  return judgeFileLimit(readFileSync('/proc/self/limits', 'utf8'));
}

/** Reads links and addresses, and applies the daemon's own rules to them. Throws NetlinkError. */
async function readHostNetwork(config: Config): Promise<HostNetwork> {
  const netlink = RtNetlink.open({ onChange: () => undefined, onError: () => undefined });
  try {
    const links = await netlink.links();
    const addresses = await netlink.addresses();
    const routes = await netlink.routes(vipFamilies(config));
    return { links, addresses, resolution: resolveNode(config, links, addresses, routes) };
  } finally {
    netlink.close();
  }
}

const CHECK_BY_REASON: Readonly<Record<NodeProblem['reason'], string>> = {
  'no-link': 'interface',
  'no-source': 'interface',
  'vip-off-link': 'subnet',
  'vip-reserved': 'subnet',
  'not-a-peer': 'peers',
};

/** A sentence about the node has two halves: what is the matter, and after the last colon what to do. */
function fromSentence(level: 'warn' | 'fail', name: string, text: string): CheckResult {
  const colon = text.lastIndexOf(': ');
  return { name, level, message: text.slice(0, colon), fix: text.slice(colon + 2) };
}

function fromNodeProblem({ reason, text }: NodeProblem): CheckResult {
  return fromSentence('fail', CHECK_BY_REASON[reason], text);
}

/** Results about the interface, the VIPs' subnets and this node's place in peers. */
export function judgeNode(config: Config, { resolution }: HostNetwork): CheckResult[] {
  const link = resolution.ok ? resolution.node.link : resolution.link;
  const results: CheckResult[] = [];
  if (link !== null && !link.up) {
    const fix = `ip link set ${link.name} up, and see to its cable or carrier`;
    results.push(fail('interface', `${link.name} is down or has no carrier`, fix));
  } else if (link !== null) {
    results.push(ok('interface', `${link.name} is there and up`));
  }
  if (!resolution.ok) return [...results, ...resolution.problems.map(fromNodeProblem)];

  const { subnetByVip, self, peerIndex, warnings } = resolution.node;
  for (const [vip, { address, prefixLength }] of subnetByVip) {
    results.push(ok('subnet', `${vip} is in the subnet ${formatNetwork(address, prefixLength)}`));
  }
  for (const text of warnings) results.push(fromSentence('warn', 'subnet', text));
  const place = `this node is ${self.text}, ${peerIndex + 1} of ${config.peers.length} in peers`;
  return [...results, ok('peers', place)];
}

/** The host's network, or the result that says why it cannot be read. */
export async function findHostNetwork(config: Config): Promise<HostNetwork | CheckResult> {
  try {
    return await readHostNetwork(config);
  } catch (error) {
    const message = `the kernel does not tell its links: ${errorText(error)}`;
    return fail('interface', message, 'allow AF_NETLINK sockets to this process');
  }
}
