/** Rules that join two or more fields. Each looks only at values that are valid by themselves. Pure. */
import { isLinkLocal } from '../ip/address.ts';
import { MAX_PRIORITIES } from '../vrrp/priority.ts';
import type { ConfigValues } from './schema.ts';

type Group = 'vrrp' | 'proxy' | 'health' | 'admin' | 'log';

/** The values that are valid so far: any of them may be missing. */
export type ConfigDraft = {
  readonly [Key in Exclude<keyof ConfigValues, Group>]?: ConfigValues[Key] | undefined;
} & {
  readonly [Key in Group]: {
    readonly [Name in keyof ConfigValues[Key]]?: ConfigValues[Key][Name] | undefined;
  };
};

export type BrokenRule = { readonly path: string; readonly message: string };

const V3_INTERVAL_MAX_MS = 40_950;
const V2_INTERVAL_MIN_MS = 1000;

function* versionRules({ vip, vrrp }: ConfigDraft): Generator<BrokenRule> {
  if (vrrp.version === 2) {
    const index = vip?.findIndex(({ family }) => family === 'IPv6') ?? -1;
    const message = 'expected IPv4 only, as vrrp.version is 2; version 3 has IPv6 too';
    if (index >= 0) yield { path: `vip[${index}]`, message };
  } else if (vrrp.version === 3 && vrrp.authPass !== undefined) {
    const message = 'expected to be left out, as vrrp.version is 3, which has no authentication';
    yield { path: 'vrrp.authPass', message };
  }
}

function* peerRules({ vip, peers, vrrp }: ConfigDraft): Generator<BrokenRule> {
  if (peers === undefined) return;
  for (const [index, peer] of peers.entries()) {
    if (vip?.some(({ text }) => text === peer.text) !== true) continue;
    const message = 'expected the address of a node; this is the VIP, which belongs to no node';
    yield { path: `peers[${index}]`, message };
  }
  if (vrrp.priority === 'auto' && peers.length > MAX_PRIORITIES) {
    const message = `expected at most ${MAX_PRIORITIES} addresses, as vrrp.priority is auto; there are ${peers.length}`;
    yield { path: 'peers', message };
  }
  for (const { family, text } of vip ?? []) {
    const isKnown = [...peers, ...(vrrp.senders ?? [])].some(
      (one) => one.family === family && !isLinkLocal(one),
    );
    if (isKnown) continue;
    // IPv6 multicast is sent from link-local addresses; all else from those of peers or vrrp.senders.
    if (vrrp.transport === 'unicast') {
      const message = `expected ${family} addresses too, as vrrp.transport is unicast and vip has ${text}`;
      yield { path: 'peers', message };
    } else if (family === 'IPv4') {
      yield { path: 'peers', message: `expected IPv4 addresses too, as vip has ${text}` };
    }
  }
}

function* senderRules({ vip, vrrp }: ConfigDraft): Generator<BrokenRule> {
  for (const [index, sender] of (vrrp.senders ?? []).entries()) {
    const path = `vrrp.senders[${index}]`;
    const { family, text } = sender;
    if (vip?.some((one) => one.text === text) === true)
      yield { path, message: 'expected the address of a node; this is the VIP, which belongs to no node' };
    else if (vip?.every((one) => one.family !== family) === true)
      yield { path, message: `expected to be left out, as vip has no ${family} address` };
    else if (vrrp.transport === 'unicast' && isLinkLocal(sender))
      yield { path, message: 'expected an address that is not link-local, as vrrp.transport is unicast' };
    else if (vrrp.transport === 'multicast' && family === 'IPv6' && !isLinkLocal(sender))
      yield { path, message: 'expected a link-local address, which IPv6 multicast is sent from' };
  }
}

function* intervalRule({ vrrp }: ConfigDraft): Generator<BrokenRule> {
  const { version, advertisementInterval: intervalMs } = vrrp;
  if (version === undefined || intervalMs === undefined) return;
  const fits =
    version === 3
      ? intervalMs <= V3_INTERVAL_MAX_MS && intervalMs % 10 === 0
      : intervalMs >= V2_INTERVAL_MIN_MS && intervalMs % 1000 === 0;
  if (fits) return;
  const range = version === 3 ? '10ms to 40.95s in steps of 10ms' : '1s to 255s in whole seconds';
  const message = `expected ${range}, as vrrp.version is ${version}`;
  yield { path: 'vrrp.advertisementInterval', message };
}

function* preemptionRule({ vrrp }: ConfigDraft): Generator<BrokenRule> {
  if (vrrp.preempt !== 'never' || vrrp.preemptDelay === undefined || vrrp.preemptDelay === 0) return;
  const message = 'expected to be left out, as vrrp.preempt is never, so that there is nothing to wait for';
  yield { path: 'vrrp.preemptDelay', message };
}

function* clientRules({ health }: ConfigDraft): Generator<BrokenRule> {
  const { clientCertFile, clientKeyFile } = health;
  if (clientCertFile !== undefined && clientKeyFile === undefined) {
    const message = 'expected the file of the private key, as health.clientCertFile is given';
    yield { path: 'health.clientKeyFile', message };
  } else if (clientCertFile === undefined && clientKeyFile !== undefined) {
    const message = 'expected the file of the certificate, as health.clientKeyFile is given';
    yield { path: 'health.clientCertFile', message };
  }
}

/** What listens on a control-plane node of kubeadm, beside the API server (Kubernetes: "Ports and Protocols"). */
const PORTS_OF_OTHERS: ReadonlyMap<number, string> = new Map([
  [2379, 'etcd'],
  [2380, 'etcd'],
  [2381, 'the metrics of etcd'],
  [10_248, 'kubelet'],
  [10_249, 'kube-proxy'],
  [10_250, 'kubelet'],
  [10_256, 'kube-proxy'],
  [10_257, 'kube-controller-manager'],
  [10_259, 'kube-scheduler'],
]);

function* portsOfOthers({ proxy, admin }: ConfigDraft): Generator<BrokenRule> {
  const ports = {
    'proxy.port': proxy.port,
    'proxy.backendPort': proxy.backendPort,
    'admin.address': admin.address?.port,
  };
  for (const [path, port] of Object.entries(ports)) {
    const owner = port === undefined ? undefined : PORTS_OF_OTHERS.get(port);
    if (owner === undefined) continue;
    yield { path, message: `expected another port, as every control-plane node has ${owner} on ${port}` };
  }
}

/** The proxy listens on all addresses, and so do most API servers: their ports are taken whatever the address. */
function* portRules({ proxy, admin }: ConfigDraft): Generator<BrokenRule> {
  const adminPort = admin.address?.port;
  if (proxy.port !== undefined && proxy.port === proxy.backendPort) {
    const message =
      'expected another port than proxy.backendPort, which the API server of this node listens on';
    yield { path: 'proxy.port', message };
  }
  if (adminPort !== undefined && adminPort === proxy.port) {
    yield { path: 'admin.address', message: 'expected another port than proxy.port' };
  } else if (adminPort !== undefined && adminPort === proxy.backendPort) {
    yield { path: 'admin.address', message: 'expected another port than proxy.backendPort' };
  }
}

/** All rules that are broken by values that are valid by themselves. */
export function findBrokenRules(draft: ConfigDraft): BrokenRule[] {
  return [
    ...versionRules(draft),
    ...peerRules(draft),
    ...senderRules(draft),
    ...intervalRule(draft),
    ...preemptionRule(draft),
    ...clientRules(draft),
    ...portRules(draft),
    ...portsOfOthers(draft),
  ];
}
