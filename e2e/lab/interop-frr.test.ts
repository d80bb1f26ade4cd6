/** One virtual router of kube-vrrp and Debian's frr (vrrpd). It speaks multicast only, and knows no authentication. */
import { describe, test } from 'node:test';

import { Frr, type FrrInstance } from '../kit/frr.ts';
import type { Host } from '../kit/host.ts';
import { inInterop, type InteropOptions, type Peer, peerOf, playReturns, playRoles } from './interop.ts';
import { type Lab, VIP_IPV4, VIP_IPV6 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

function frrPeer(lab: Lab, host: Host, instance: FrrInstance): Peer {
  return peerOf(host, () => Frr.start(host, lab.folder, instance));
}

const COMBINATIONS = [
  { name: 'version 2, 1 s', version: 2, intervalMs: 1000, vip: VIP_IPV4 },
  { name: 'version 3, 1 s', version: 3, intervalMs: 1000, vip: VIP_IPV4 },
  { name: 'version 3, 100 ms', version: 3, intervalMs: 100, vip: VIP_IPV4 },
  { name: 'version 3, IPv6, 100 ms', version: 3, intervalMs: 100, vip: VIP_IPV6 },
] as const;

describe('frr', { concurrency: 3 }, () => {
  for (const { name, version, intervalMs, vip } of COMBINATIONS) {
    test(`${name}: both roles, losses and stops on both sides`, async (t) => {
      const options: InteropOptions = {
        vip,
        intervalMs,
        ipv6: vip === VIP_IPV6,
        virtualLinks: true,
        vrrp: { version, advertisementInterval: `${intervalMs}ms` },
        makePeer: (lab, host) => frrPeer(lab, host, { version, priority: 100, intervalMs, address: vip }),
      };
      await inInterop(options, (interop) =>
        playRoles(interop, version, (text) => t.diagnostic(`${name}: ${text}`)),
      );
    });
  }

  for (const better of ['kube-vrrp', 'the peer'] as const) {
    test(`version 3, 10 ms, ${better} is preferred: it is lost, comes back, stops and starts`, async (t) => {
      const isOurs = better === 'kube-vrrp';
      const options: InteropOptions = {
        vip: VIP_IPV4,
        intervalMs: 10,
        virtualLinks: true,
        // 1 of 254 is 128 of the band of class A.
        vrrp: { advertisementInterval: '10ms', preempt: 'always', priority: isOurs ? 31 : 1 },
        makePeer: (lab, host) =>
          frrPeer(lab, host, {
            version: 3,
            priority: isOurs ? 100 : 254,
            intervalMs: 10,
            address: VIP_IPV4,
          }),
      };
      await inInterop(options, (interop) => playReturns(interop, better, (text) => t.diagnostic(text)));
    });
  }
});
