/** One virtual router of kube-vrrp and Debian's keepalived. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import {
  assertHandover,
  describeInterop,
  formatMove,
  held,
  inInterop,
  type Interop,
  type InteropOptions,
  move,
  type Peer,
  peerOf,
  playReturns,
  playRoles,
  readNeutrally,
  startOurs,
  steady,
} from './interop.ts';
import { Keepalived, type KeepalivedInstance, keepalivedConfig } from '../kit/keepalived.ts';
import { type Lab, VIP_IPV4, VIP_IPV6 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

/** Lower than a healthy kube-vrrp's, in the band of class B: as kubeadm's guide has it. */
const GUIDE_PRIORITY = 100;

function keepalivedPeer(lab: Lab, host: Host, instance: KeepalivedInstance): Peer {
  return peerOf(host, async () => {
    const keepalived = new Keepalived(host, lab.folder, keepalivedConfig(instance));
    await keepalived.started();
    return keepalived;
  });
}

type Combination = {
  readonly name: string;
  readonly version: 2 | 3;
  readonly intervalMs: number;
  readonly family?: 'IPv4' | 'IPv6';
  readonly transport?: 'multicast' | 'unicast';
  readonly password?: string;
};

/** Version 2 has whole seconds and IPv4 only; IPv6 is version 3's. */
const IN_SECONDS: readonly Combination[] = [
  { name: 'version 2, multicast, 1 s', version: 2, intervalMs: 1000 },
  { name: 'version 2, PASS, multicast, 1 s', version: 2, intervalMs: 1000, password: 'k8svip01' },
  { name: 'version 2, unicast, 1 s', version: 2, intervalMs: 1000, transport: 'unicast' },
  { name: 'version 3, multicast, 1 s', version: 3, intervalMs: 1000 },
];
const FAST: readonly Combination[] = [
  { name: 'version 3, multicast, 100 ms', version: 3, intervalMs: 100 },
  { name: 'version 3, unicast, 100 ms', version: 3, intervalMs: 100, transport: 'unicast' },
  { name: 'version 3, IPv6, multicast, 100 ms', version: 3, intervalMs: 100, family: 'IPv6' },
  {
    name: 'version 3, IPv6, unicast, 100 ms',
    version: 3,
    intervalMs: 100,
    family: 'IPv6',
    transport: 'unicast',
  },
];

type Changes = Partial<Pick<InteropOptions, 'vrrp' | 'ourIndex'>> & Partial<KeepalivedInstance>;

function optionsOf(combination: Combination, changes: Changes = {}): InteropOptions {
  const { version, intervalMs, family = 'IPv4', transport = 'multicast', password } = combination;
  const vip = family === 'IPv4' ? VIP_IPV4 : VIP_IPV6;
  const addressOf = (host: Host): string => (family === 'IPv4' ? host.ipv4 : host.ipv6!);
  const authentication = password === undefined ? {} : { authPass: password };
  const { vrrp = {}, ourIndex = 0, ...instance } = changes;
  return {
    vip,
    intervalMs,
    ourIndex,
    ipv6: family === 'IPv6',
    vrrp: { version, advertisementInterval: `${intervalMs}ms`, transport, ...authentication, ...vrrp },
    makePeer: (lab, host, ours) =>
      keepalivedPeer(lab, host, {
        version,
        priority: GUIDE_PRIORITY,
        advertisementSeconds: intervalMs / 1000,
        addresses: [vip],
        ...(password === undefined ? {} : { password }),
        ...(transport === 'unicast'
          ? { unicast: { source: addressOf(host), peers: [addressOf(ours)] } }
          : {}),
        ...instance,
      }),
  };
}

for (const [name, combinations, concurrency] of [
  ['keepalived, slow', IN_SECONDS, 4],
  ['keepalived, fast', FAST, 1],
] as const) {
  describe(name, { concurrency }, () => {
    for (const combination of combinations) {
      test(`${combination.name}: both roles, losses and stops on both sides`, async (t) => {
        await inInterop(optionsOf(combination), (interop) =>
          playRoles(interop, combination.version, (text) => t.diagnostic(`${combination.name}: ${text}`)),
        );
      });
    }
  });
}

describe('keepalived, 10 ms', () => {
  const combination: Combination = { name: 'version 3, multicast, 10 ms', version: 3, intervalMs: 10 };
  for (const better of ['kube-vrrp', 'the peer'] as const) {
    test(`${better} is preferred: it is lost, comes back, stops and starts`, async (t) => {
      const changes: Changes =
        better === 'kube-vrrp'
          ? { vrrp: { preempt: 'always' } }
          : { vrrp: { preempt: 'always', priority: 1 }, priority: 254 };
      await inInterop(optionsOf(combination, changes), (interop) =>
        playReturns(interop, better, (text) => t.diagnostic(text)),
      );
    });
  }
});

const PRECISE: Combination = { name: 'version 3, multicast, 100 ms', version: 3, intervalMs: 100 };

describe('keepalived, who wins', () => {
  test('a keepalived of higher priority preempts; kube-vrrp gives way at once', async (t) => {
    await inInterop(optionsOf(PRECISE, { priority: 254, vrrp: { priority: 25 } }), async (interop) => {
      await startOurs(interop);
      await held(interop, interop.ours);
      const moved = await move(interop, interop.peer.host, () => interop.peer.start());
      t.diagnostic(`preempted by keepalived: ${formatMove(moved)}`);
      assertHandover(interop, moved);
    });
  });

  test('preempt always: kube-vrrp takes the VIP from a keepalived of lower priority', async (t) => {
    await inInterop(optionsOf(PRECISE, { vrrp: { preempt: 'always' } }), async (interop) => {
      await interop.peer.start();
      await held(interop, interop.peer.host);
      const moved = await move(interop, interop.ours, () => startOurs(interop));
      t.diagnostic(`preempted by kube-vrrp: ${formatMove(moved)}`);
      assertHandover(interop, moved);
    });
  });

  // In class A 17 is advertised as 198.
  for (const ourIndex of [0, 1] as const) {
    test(`two Actives of one priority meet: the greater address stays, ${ourIndex === 1 ? 'kube-vrrp' : 'keepalived'}`, async (t) => {
      await inInterop(
        optionsOf(PRECISE, { priority: 198, ourIndex, vrrp: { priority: 17 } }),
        async (interop) => {
          const { lab, ours, peer, vip } = interop;
          await lab.partition([ours], [peer.host]);
          await startOurs(interop);
          await peer.start();
          await eventually(() => lab.holders(vip).length === 2, {
            what: 'a holder on each side',
            otherwise: () => describeInterop(interop),
          });
          const moved = await move(interop, lab.hosts[1]!, () => lab.heal());
          t.diagnostic(`healed: ${formatMove(moved)}`);
          await steady(interop, lab.hosts[1]!);
        },
      );
    });
  }
});

/**
 * Stops kube-vrrp for as long as a busy machine may, and lets it go on. False when it took `limitMs` or more, from
 * which nothing follows.
 */
async function stall({ cluster, ours }: Interop, durationMs: number, limitMs: number): Promise<boolean> {
  const fromMs = monotonicMs();
  cluster.daemon(ours).signal('SIGSTOP');
  await delay(durationMs);
  cluster.daemon(ours).signal('SIGCONT');
  return monotonicMs() - fromMs < limitMs;
}

/** False when the machine was too busy for this to show anything. */
async function playBusy(interop: Interop): Promise<boolean> {
  const { cluster, ours, peer, lab, vip } = interop;
  await startOurs(interop);
  await held(interop, ours);
  await peer.start();
  await steady(interop, ours);
  const fromMs = lab.timeline.lastAtMs;
  // keepalived waits for 3 intervals and a skew, 361 ms, from an advertisement that may be 100 ms old when this begins.
  if (!(await stall(interop, 210, 250))) return false;
  await cluster.daemon(ours).logged('that it was late', ({ msg }) => msg.includes('more patience'));
  await steady(interop, ours);
  // 3 of twice the interval, and the skew, are 722 ms.
  if (!(await stall(interop, 450, 600))) return false;
  await steady(interop, ours);
  const spans = lab.timeline.spans(vip, fromMs);
  assert.equal(spans.length, 1, `the VIP moved\n${describeInterop(interop, fromMs)}`);
  return true;
}

describe('keepalived, beside a kube-vrrp that is late', () => {
  test('RFC 9568 6.1: a Backup waits by the longer interval that the Active names', async () => {
    for (let tries = 5; tries > 0; tries -= 1) {
      let hasShown = false;
      await inInterop(optionsOf(PRECISE), async (interop) => {
        hasShown = await playBusy(interop);
      });
      if (hasShown) return;
    }
    assert.fail('this machine is too busy to stop a process for 450 ms and no longer than 600 ms');
  });
});

describe('keepalived, configured otherwise', () => {
  test('RFC 9568 5.2.8: what vrrp.checksum message sends, tshark finds right', async (t) => {
    await inInterop(optionsOf(PRECISE, { vrrp: { checksum: 'message' } }), async (interop) => {
      const checkPackets = await readNeutrally(interop, (text) => t.diagnostic(text), 'message');
      await startOurs(interop);
      await steady(interop, interop.ours);
      await checkPackets();
    });
  });

  test('RFC 9568 5.1.2.3: IPv6 unicast with its default hop limit of 64 is counted and said, not believed', async () => {
    const options = optionsOf({ ...PRECISE, family: 'IPv6', transport: 'unicast' });
    const makePeer = (lab: Lab, host: Host, ours: Host): Peer =>
      keepalivedPeer(lab, host, {
        version: 3,
        priority: 254,
        advertisementSeconds: 0.1,
        addresses: [VIP_IPV6],
        unicast: { source: host.ipv6!, peers: [ours.ipv6!], ttl: 64 },
      });
    await inInterop({ ...options, vrrp: { ...options.vrrp, priority: 25 }, makePeer }, async (interop) => {
      const daemon = interop.cluster.startDaemon(interop.ours);
      await interop.peer.start();
      await daemon.logged('what to set', ({ msg }) => msg.includes('unicast_ttl 255'));
      await eventually(
        async () =>
          (await daemon.metrics()).some(({ labels, value }) => labels['reason'] === 'ttl' && value >= 10),
        { what: 'the packets to be counted' },
      );
    });
  });
});
