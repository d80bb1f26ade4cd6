/** `kube-vrrp check`. */
import type { Config } from '../config/config.ts';
import { formatProblem, type ConfigProblem } from '../config/problem.ts';
import { prioritiesOf } from '../daemon/node.ts';
import type { IpAddress } from '../ip/address.ts';
import type { Invocation } from './arguments.ts';
import { checkApiServers } from './checks/certificate.ts';
import { checkClientCertificate } from './checks/client-certificate.ts';
import {
  checkCapabilities,
  checkFileLimit,
  judgeNode,
  findHostNetwork,
  type HostNetwork,
} from './checks/host.ts';
import { checkNodeIp } from './checks/node-ip.ts';
import { checkListening, checkPeers, type Running } from './checks/ports.ts';
import { checkReserved } from './checks/reserved.ts';
import { fail, ok, type CheckResult } from './checks/result.ts';
import { checkSegment, notLookedFor } from './checks/segment.ts';
import { adminEndpoint, controlEndpoint, DaemonError, fetchStatus } from './daemon-client.ts';
import { loadConfig, reportProblems } from './load-config.ts';
import { print } from './terminal.ts';

/** No longer than `check` listens on the segment at the same time. */
const STATUS_TIMEOUT_MS = 3000;

/** The kube-vrrp that runs on this node with this configuration, or null. */
async function findRunning(config: Config): Promise<Running | null> {
  const endpoint = adminEndpoint(config.admin) ?? controlEndpoint(config.admin);
  if (endpoint === null) return null;
  try {
    return await fetchStatus(endpoint, STATUS_TIMEOUT_MS);
  } catch (error) {
    if (error instanceof DaemonError) return null;
    throw error;
  }
}

/** Also where the node is not as it should be: all that can be found out is told at once. */
async function checkSegmentOf(
  config: Config,
  { links, addresses, resolution }: HostNetwork,
): Promise<CheckResult[]> {
  const { link, sourceByFamily } = resolution.ok ? resolution.node : resolution;
  const priorities = resolution.ok ? Object.values(prioritiesOf(config, resolution.node.self)) : [];
  if (link !== null) return checkSegment(config, { link, sourceByFamily, priorities }, links, addresses);
  return notLookedFor(
    config,
    'the network',
    'no interface was found to do that on',
    'see the interface check',
  );
}

/** The same where the kernel did not say what network there is. */
function skipSegment(config: Config): CheckResult[] {
  return notLookedFor(config, 'the network', 'the kernel did not list it', 'see the interface check');
}

/** All checks of the node, at once where they can be. */
async function checkNode(config: Config): Promise<CheckResult[]> {
  const network = await findHostNetwork(config);
  const host = 'level' in network ? null : network;
  const own = new Set(host?.addresses.map(({ address }) => address.text));
  const isOwn = ({ text }: IpAddress): boolean => own.has(text);
  const [segment, listening, peers, apiServers] = await Promise.all([
    host === null ? skipSegment(config) : checkSegmentOf(config, host),
    findRunning(config).then((running) => checkListening(config, running)),
    checkPeers(config, isOwn),
    checkApiServers(config, isOwn),
  ]);
  return [
    checkCapabilities(),
    ...('level' in network ? [network] : judgeNode(config, network)),
    ...segment,
    ...listening,
    checkReserved(config),
    ...apiServers,
    ...checkNodeIp(config),
    ...checkClientCertificate(config),
    ...peers,
    checkFileLimit(),
  ];
}

function countText(results: readonly CheckResult[]): string {
  const count = (level: CheckResult['level']): number =>
    results.filter((result) => result.level === level).length;
  return `${count('ok')} ok, ${count('skip')} skip, ${count('warn')} warn, ${count('fail')} fail`;
}

/** The results as lines for people. */
export function formatResults(results: readonly CheckResult[]): string[] {
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.flatMap(({ name, level, message, fix }) => [
    `${level.padEnd(4)}  ${name.padEnd(width)}  ${message}`,
    ...(fix === null ? [] : [`${' '.repeat(width + 6)}  -> ${fix}`]),
  ]);
  return [...lines, '', countText(results)];
}

function show(results: readonly CheckResult[], asJson: boolean): void {
  const failed = results.some(({ level }) => level === 'fail');
  if (asJson) print(JSON.stringify({ ok: !failed, checks: results }, null, 2));
  else print(formatResults(results).join('\n'));
}

function refuseConfig(problems: readonly ConfigProblem[], asJson: boolean): number {
  if (!asJson) return reportProblems('check', problems);
  show(
    problems.map((problem) => fail('config', formatProblem(problem), 'correct it')),
    true,
  );
  return 2;
}

/** Checks the configuration and the node; 1 when a check failed, 2 when the configuration is wrong. */
export async function checkCommand(invocation: Invocation): Promise<number> {
  const asJson = invocation.options.has('json');
  const config = await loadConfig(invocation);
  if (!config.ok) return refuseConfig(config.problems, asJson);
  const results = [ok('config', 'every value is good'), ...(await checkNode(config.value))];
  show(results, asJson);
  return results.some(({ level }) => level === 'fail') ? 1 : 0;
}
