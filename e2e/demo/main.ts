/**
 * `npm run demo`: three control-plane hosts and a client on this machine, and the holder of the VIP lost in three ways.
 */
import { describeDisruption, type Disruption } from '../kit/client.ts';
import { Cluster, PROXY_PORT, type StartApiServers } from '../kit/cluster.ts';
import { COST_TARGET, formatCost, measureCost, type Cost } from '../kit/cost.ts';
import type { LogEntry } from '../kit/daemon.ts';
import { vipGone } from '../kit/expectations.ts';
import type { Host } from '../kit/host.ts';
import { findKubernetes } from '../kit/kubernetes.ts';
import { createLab, VIP_IPV4, type Lab } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';
import { formatTable, Timeline } from '../kit/timeline.ts';

type Step = {
  readonly name: string;
  /** What is promised, ms; a machine that is busy with the whole lab may take `limitMs`. */
  readonly targetMs: number;
  readonly limitMs: number;
  readonly lose: (cluster: Cluster, holder: Host) => Promise<void>;
  readonly restore: (cluster: Cluster, loser: Host) => Promise<void>;
};

type Result = {
  readonly step: Step;
  readonly from: Host;
  readonly to: Host;
  readonly disruption: Disruption;
};

/** Log events worth a line; the first checks of each API server are not. */
const TOLD_EVENTS = new Set(['transition', 'ready', 'stopped', 'class']);

const timeline = new Timeline();

const STEPS: readonly Step[] = [
  {
    name: 'link cut',
    targetMs: 500,
    limitMs: 1000,
    lose: (_cluster, holder) => {
      timeline.say('lab', holder.name, 'link cut');
      return holder.linkDown();
    },
    restore: (_cluster, loser) => {
      timeline.say('lab', loser.name, 'link back');
      return loser.linkUp();
    },
  },
  {
    name: 'kill -9',
    targetMs: 500,
    limitMs: 1000,
    lose: async (cluster, holder) => {
      timeline.say('lab', holder.name, `kill -9 ${cluster.daemon(holder).pid}`);
      await cluster.daemon(holder).kill();
    },
    restore: async (cluster, loser) => {
      timeline.say('lab', loser.name, 'kube-vrrp started again');
      cluster.startDaemon(loser);
    },
  },
  {
    name: 'drain',
    targetMs: 100,
    limitMs: 250,
    lose: (cluster, holder) => drain(cluster, holder, 'drain'),
    restore: (cluster, loser) => drain(cluster, loser, 'undrain'),
  },
];

async function drain(cluster: Cluster, host: Host, command: 'drain' | 'undrain'): Promise<void> {
  timeline.say('lab', host.name, `kube-vrrp ${command}`);
  const { exitCode, stdout, stderr } = await cluster.daemon(host).command(command);
  if (exitCode !== 0) throw new Error(`${command} on ${host.name} failed: ${stdout}${stderr}`);
}

/** Loses the holder in one way, waits for a successor and for steady answers, and puts everything back. */
async function perform(cluster: Cluster, step: Step): Promise<Result> {
  const from = cluster.holder();
  timeline.print('step', `\n${step.name} on the holder, ${from.name}`);
  let goneMs = 0;
  const disruption = await cluster.disrupt(
    () => step.lose(cluster, from),
    async (lostAtMs) => {
      await cluster.oneHolder((host) => host !== from);
      goneMs = await vipGone(cluster, from, lostAtMs);
    },
  );
  const to = await cluster.oneHolder();
  timeline.say('client', 'client', describeDisruption(disruption));
  timeline.say(
    'vip',
    'VIP',
    `only on ${to.name}; out of ${from.name}'s kernel ${goneMs.toFixed(0)} ms after the ${step.name}`,
  );
  await step.restore(cluster, from);
  const settled = await cluster.settled();
  if (settled !== to)
    throw new Error(`the VIP moved from ${to.name} to ${settled.name} when ${from.name} came back`);
  timeline.say('vip', 'VIP', `stays on ${to.name}, with all three hosts back`);
  return { step, from, to, disruption };
}

function tellHolders(holders: Readonly<Record<string, readonly string[]>>): void {
  const names = holders[VIP_IPV4] ?? [];
  timeline.say('vip', 'VIP', names.length === 0 ? 'on no host' : `on ${names.join(' and ')}`);
}

function tellEntry(host: Host, { event, msg }: LogEntry): void {
  if (event !== null && TOLD_EVENTS.has(event)) timeline.say('daemon', host.name, msg);
}

/** With everything steady and nobody served: what kube-vrrp costs its hosts, the holder's first. */
async function measureHosts(cluster: Cluster): Promise<Map<Host, Cost>> {
  const holder = await cluster.settled();
  await cluster.stopClients();
  const hosts = [holder, ...cluster.others(holder)];
  timeline.print('step', '\nnobody is served for twenty seconds');
  return new Map(
    await Promise.all(
      hosts.map(async (host) => [host, await measureCost(cluster.daemon(host).pid)] as const),
    ),
  );
}

/** Prints what each daemon costs. For information: a machine that runs the whole lab is no place for a verdict. */
function summarizeCosts(costs: ReadonlyMap<Host, Cost>): void {
  const rows = [...costs].map(([host, cost], index) => [
    `${index === 0 ? 'holder' : 'Backup'}, ${host.name}`,
    ...formatCost(cost),
  ]);
  const targets = ['target', ...formatCost(COST_TARGET).map((limit) => `<= ${limit}`)];
  timeline.print('step', '');
  for (const line of formatTable([['kube-vrrp, idle', 'of a core', 'resident'], ...rows, targets])) {
    timeline.print('daemon', line);
  }
}

/** Prints the table; false when something was not as promised. */
function summarize(results: readonly Result[]): boolean {
  const rows = results.map(({ step, from, to, disruption }) => {
    const { outageMs, failed, requests } = disruption;
    const verdict = outageMs <= step.targetMs ? 'met' : outageMs <= step.limitMs ? 'missed' : 'FAILED';
    return [
      step.name,
      `${from.name} -> ${to.name}`,
      `${outageMs.toFixed(0)} ms`,
      `${failed} of ${requests}`,
      `<= ${step.targetMs} ms`,
      verdict,
    ];
  });
  const heading = ['what', 'VIP', 'outage', 'failed requests', 'target', ''];
  timeline.print('step', '');
  for (const line of formatTable([heading, ...rows])) timeline.print('daemon', line);
  return results.every(({ step, disruption }) => disruption.outageMs <= step.limitMs);
}

async function play(lab: Lab, startApiServers: StartApiServers | null): Promise<boolean> {
  const options = { onEntry: tellEntry, ...(startApiServers === null ? {} : { startApiServers }) };
  const cluster = await Cluster.start(lab, options);
  timeline.say(
    'client',
    'client',
    `https://${VIP_IPV4}:${PROXY_PORT}/version answers; asking 50 times a second`,
  );
  const results: Result[] = [];
  for (const step of STEPS) results.push(await perform(cluster, step));
  const costs = await measureHosts(cluster);
  const isAsPromised = summarize(results);
  summarizeCosts(costs);
  return isAsPromised;
}

async function main(): Promise<number> {
  await enterLab();
  process.on('SIGINT', () => timeline.say('problem', 'lab', 'interrupted, removing the lab'));
  const startApiServers = findKubernetes();
  const kind =
    startApiServers === null ? 'stand-ins, for want of kube-apiserver and etcd on PATH' : 'real ones';
  timeline.say('lab', 'lab', `three control-plane hosts and a client; API servers: ${kind}`);
  const lab = await createLab({ hosts: 3, clients: 1, ipv6: false, onHolders: tellHolders });
  try {
    const isAsPromised = await play(lab, startApiServers);
    timeline.print(
      isAsPromised ? 'vip' : 'problem',
      isAsPromised ? '\nEvery outage is as promised.' : '\nNot every outage is as promised.',
    );
    return isAsPromised ? 0 : 1;
  } catch (error) {
    timeline.print('problem', `\nThe demo failed: ${(error as Error).message}`);
    return 1;
  } finally {
    await lab.remove();
  }
}

process.exit(await main());
