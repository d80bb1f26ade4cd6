/** kube-vrrp and another VRRP router as the two nodes of one virtual router, through everything that moves the VIP. */
import assert from 'node:assert/strict';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { Cluster, type ConfigChanges } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import { createLab, type Lab } from '../kit/lab.ts';
import { faultsOf, Tshark } from '../kit/tshark.ts';

/** The other router, on a host of its own. */
export interface Peer {
  readonly host: Host;
  start(): Promise<void>;
  /** As an operator stops it; it says priority 0. */
  stop(): Promise<void>;
  describe(): string;
}

type PeerProgram = Pick<Peer, 'stop' | 'describe'>;

/** A peer whose program `launch` starts anew each time; it resolves when the program takes part. */
export function peerOf(host: Host, launch: () => Promise<PeerProgram>): Peer {
  let program: PeerProgram | null = null;
  return {
    host,
    start: async () => {
      program = await launch();
    },
    stop: async () => program?.stop(),
    describe: () => program?.describe() ?? `no peer was started on ${host.name}`,
  };
}

export type Interop = {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly ours: Host;
  readonly peer: Peer;
  readonly vip: string;
  readonly intervalMs: number;
};

/**
 * A graceful stop leaves no gap but what the other one needs from its first advertisement to its address, and a second
 * holder no longer than it takes to hear the other and to act.
 */
const HANDOVER_MS = 500;
/** What a busy machine may add to a timer. */
const SLACK_MS = 500;
/** A holder is watched for longer than any Active_Down_Interval, and at least for so long. */
const STEADY_INTERVALS = 4;
const STEADY_MS = 500;
/** For the neutral reader. */
const READ_PACKETS = 10;

export type InteropOptions = {
  readonly vip: string;
  readonly intervalMs: number;
  readonly ipv6?: boolean;
  readonly virtualLinks?: boolean;
  readonly vrrp: ConfigChanges;
  /** Index of kube-vrrp's host, the other one is the peer's. Default 0, the lower address. */
  readonly ourIndex?: 0 | 1;
  readonly makePeer: (lab: Lab, host: Host, ours: Host) => Peer;
};

/** Plays in a lab of its own, which goes whatever happens. */
export async function inInterop(
  options: InteropOptions,
  play: (interop: Interop) => Promise<void>,
): Promise<void> {
  const interop = await createInterop(options);
  try {
    await play(interop);
  } finally {
    await interop.lab.remove();
  }
}

/** Makes a lab of two hosts, each with an API server, kube-vrrp prepared on one and the peer on the other. */
async function createInterop(options: InteropOptions): Promise<Interop> {
  const { vip, intervalMs, ourIndex = 0, vrrp } = options;
  const lab = await createLab({
    hosts: 2,
    clients: 0,
    ipv6: options.ipv6 ?? false,
    virtualLinks: options.virtualLinks ?? false,
  });
  try {
    const ours = lab.hosts[ourIndex]!;
    const peerHost = lab.hosts[1 - ourIndex]!;
    const cluster = await Cluster.prepare(lab, { vips: [vip], config: { vrrp } });
    return { lab, cluster, ours, vip, intervalMs, peer: options.makePeer(lab, peerHost, ours) };
  } catch (error) {
    await lab.remove();
    throw error;
  }
}

/** Starts kube-vrrp and waits until it may take the VIP. */
export async function startOurs({ cluster, ours }: Interop): Promise<void> {
  const daemon = cluster.startDaemon(ours);
  await daemon.ready();
  await eventually(async () => (await daemon.status()).class === 'A', {
    what: 'kube-vrrp to see its API server',
    otherwise: () => daemon.describe(),
  });
}

export function describeInterop(interop: Interop, fromMs?: number): string {
  return `${interop.cluster.describe(fromMs)}\n${interop.peer.describe()}`;
}

/** Waits until this host alone has the VIP. */
export async function held(interop: Interop, host: Host): Promise<void> {
  const { lab, vip } = interop;
  await lab.lookAgain();
  await eventually(() => holdsAlone(lab, vip, host), {
    what: `${host.name} alone to hold ${vip}`,
    deadlineMs: 30_000,
    otherwise: () => describeInterop(interop),
  });
}

function holdsAlone(lab: Lab, vip: string, host: Host): boolean {
  const [holder, ...others] = lab.holders(vip);
  return holder === host && others.length === 0;
}

/** Watches for some intervals: at every sample this host alone has the VIP. */
export async function steady(interop: Interop, host: Host): Promise<void> {
  const { lab, vip, intervalMs } = interop;
  await held(interop, host);
  const fromMs = lab.timeline.lastAtMs;
  await pass(interop, Math.max(STEADY_MS, STEADY_INTERVALS * intervalMs));
  const spans = lab.timeline.spans(vip, fromMs);
  const isSteady = spans.length === 1 && spans[0]?.holders.join() === host.name;
  assert.ok(isSteady, `the VIP did not stay on ${host.name}\n${describeInterop(interop, fromMs)}`);
}

/** Lets this much time be looked at. */
async function pass({ lab }: Interop, durationMs: number): Promise<void> {
  const untilMs = lab.timeline.lastAtMs + durationMs;
  await eventually(() => lab.timeline.lastAtMs >= untilMs, { what: 'time to pass', deadlineMs: 60_000 });
}

export type Move = { readonly vacancyMs: number; readonly overlapMs: number };

/** Does something that moves the VIP to `to`, and waits until it is steady there. */
export async function move(interop: Interop, to: Host, act: () => Promise<unknown> | void): Promise<Move> {
  const fromMs = monotonicMs();
  await act();
  await held(interop, to);
  const moved = movedSince(interop, fromMs);
  await steady(interop, to);
  return moved;
}

function movedSince({ lab, vip }: Interop, fromMs: number): Move {
  return {
    vacancyMs: lab.timeline.longestVacancyMs(vip, fromMs),
    overlapMs: lab.timeline.longestOverlapMs(vip, fromMs),
  };
}

export function formatMove({ vacancyMs, overlapMs }: Move): string {
  return `nobody for ${vacancyMs.toFixed(0)} ms, two for ${overlapMs.toFixed(0)} ms`;
}

/** No longer than three intervals and a skew of less than one more. */
export function assertLoss(interop: Interop, moved: Move): void {
  const limitMs = 4 * interop.intervalMs + SLACK_MS;
  assert.ok(moved.vacancyMs <= limitMs, `${formatMove(moved)}\n${describeInterop(interop)}`);
  assert.ok(moved.overlapMs <= HANDOVER_MS, `${formatMove(moved)}\n${describeInterop(interop)}`);
}

export function assertHandover(interop: Interop, moved: Move): void {
  assert.ok(moved.vacancyMs <= HANDOVER_MS, `${formatMove(moved)}\n${describeInterop(interop)}`);
  assert.ok(moved.overlapMs <= HANDOVER_MS, `${formatMove(moved)}\n${describeInterop(interop)}`);
}

/**
 * Both roles on both sides, both directions of a loss, and a graceful stop on each side. The VIP is held by exactly one
 * at every sample once each step has converged; what kube-vrrp sends is right, and what the peer sends is accepted in
 * the form of `version`. `tell` gets the figures.
 */
export async function playRoles(
  interop: Interop,
  version: 2 | 3,
  tell: (text: string) => void,
): Promise<void> {
  const checkPackets = await readNeutrally(interop, tell);
  await moveThroughRoles(interop, tell);
  await checkPackets();
  const form = version === 3 ? 'pseudo-header' : 'message';
  const accepted = await acceptedChecksums(interop);
  assert.ok((accepted[form] ?? 0) > 0, JSON.stringify(accepted));
  assert.equal(await mismatches(interop), 0, describeInterop(interop));
}

async function moveThroughRoles(interop: Interop, tell: (text: string) => void): Promise<void> {
  const { cluster, ours, peer } = interop;
  const theirs = peer.host;
  await startOurs(interop);
  await held(interop, ours);
  await peer.start();
  await steady(interop, ours);

  const lost = await move(interop, theirs, () => ours.linkDown());
  tell(`kube-vrrp's link cut, the peer takes over: ${formatMove(lost)}`);
  assertLoss(interop, lost);
  await ours.linkUp();
  await cluster.daemon(ours).logged('that it is a Backup', ({ fields }) => fields['to'] === 'Backup');
  await steady(interop, theirs);

  const stopped = await move(interop, ours, () => peer.stop());
  tell(`the peer stopped, kube-vrrp takes over: ${formatMove(stopped)}`);
  assertLoss(interop, stopped);
  await peer.start();
  await steady(interop, ours);

  const handedOver = await move(interop, theirs, async () => {
    cluster.daemon(ours).signal('SIGTERM');
    await cluster.daemon(ours).ended();
  });
  tell(`kube-vrrp stopped, the peer takes over: ${formatMove(handedOver)}`);
  assertHandover(interop, handedOver);
  await startOurs(interop);
  await steady(interop, theirs);

  const cut = await move(interop, ours, () => theirs.linkDown());
  tell(`the peer's link cut, kube-vrrp takes over: ${formatMove(cut)}`);
  assertLoss(interop, cut);
  const returned = await move(interop, ours, async () => {
    await theirs.linkUp();
    await pass(interop, STEADY_INTERVALS * interop.intervalMs);
  });
  // Cut off, frr goes on as Active, and gives way when it hears that there is another one.
  tell(`the peer's link restored, kube-vrrp stays: ${formatMove(returned)}`);
  assert.equal(returned.vacancyMs, 0, describeInterop(interop));
  assert.ok(returned.overlapMs <= interop.intervalMs + SLACK_MS, describeInterop(interop));
}

/**
 * For intervals so short that a busy machine makes an Active miss some by itself: `better` has the higher priority and
 * preempts, so the VIP comes back to it whatever happens. It is lost and comes back, and stops and starts; what
 * kube-vrrp sends meanwhile is right.
 */
export async function playReturns(
  interop: Interop,
  better: 'kube-vrrp' | 'the peer',
  tell: (text: string) => void,
): Promise<void> {
  const checkPackets = await readNeutrally(interop, tell);
  await moveAndReturn(interop, better, tell);
  await checkPackets();
}

async function moveAndReturn(
  interop: Interop,
  better: 'kube-vrrp' | 'the peer',
  tell: (text: string) => void,
): Promise<void> {
  const { cluster, ours, peer } = interop;
  const isOurs = better === 'kube-vrrp';
  const [best, other] = isOurs ? [ours, peer.host] : [peer.host, ours];
  const start = (): Promise<void> => (isOurs ? startOurs(interop) : peer.start());
  const stop = async (): Promise<void> => {
    if (!isOurs) return peer.stop();
    cluster.daemon(ours).signal('SIGTERM');
    await cluster.daemon(ours).ended();
  };
  await startOurs(interop);
  await peer.start();
  await held(interop, best);
  for (const [what, to, act] of [
    ['link cut', other, () => best.linkDown()],
    ['link restored', best, () => best.linkUp()],
    ['stopped', other, stop],
    ['started', best, start],
  ] as const) {
    const fromMs = monotonicMs();
    await act();
    await held(interop, to);
    const moved = movedSince(interop, fromMs);
    tell(`${better}, ${what}: ${formatMove(moved)}`);
    assertLoss(interop, moved);
  }
}

/** Starts the neutral reader at kube-vrrp's port; the returned function checks what it has read, and stops it. */
export async function readNeutrally(
  interop: Interop,
  tell: (text: string) => void,
  checksumForm: 'pseudo-header' | 'message' = 'pseudo-header',
): Promise<() => Promise<void>> {
  const { lab, ours } = interop;
  const reader = await Tshark.start(lab, ours, checksumForm);
  return async () => {
    const sources = (await ours.kernelAddresses()).map(({ local }) => local);
    await eventually(() => reader.countFrom(...sources) >= READ_PACKETS, {
      what: `${READ_PACKETS} packets of kube-vrrp to pass by`,
      otherwise: () => describeInterop(interop),
    });
    const sent = await reader.sentFrom(...sources);
    assert.ok(sent.length >= READ_PACKETS, `tshark read ${sent.length} packets of kube-vrrp`);
    const bad = sent.filter((packet) => faultsOf(packet).length > 0);
    tell(`tshark: ${sent.length} packets of kube-vrrp, ${bad.length} bad`);
    assert.deepEqual(
      bad.slice(0, 3).map((packet) => [faultsOf(packet), packet]),
      [],
    );
  };
}

/** How many of the peer's advertisements kube-vrrp has accepted with this form of checksum. */
async function acceptedChecksums({ cluster, ours }: Interop): Promise<Record<string, number>> {
  return Object.fromEntries(
    await cluster.daemon(ours).metricBy('checksum', 'kube_vrrp_advertisements_received_total'),
  );
}

/** What differs between the two configurations, as kube-vrrp counts it. */
async function mismatches({ cluster, ours }: Interop): Promise<number> {
  return cluster.daemon(ours).metric('kube_vrrp_mismatches_total');
}
