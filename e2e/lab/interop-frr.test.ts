/** One virtual router of kube-vrrp and Debian's frr (vrrpd). It speaks multicast only, and knows no authentication. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Frr, type FrrInstance } from './frr.ts';
import type { Host } from './host.ts';
import {
  acceptedChecksums,
  createInterop,
  describeInterop,
  mismatches,
  type Peer,
  playReturns,
  playRoles,
  readNeutrally,
} from './interop.ts';
import { type Lab, VIP_IPV4, VIP_IPV6 } from './lab.ts';
import { enterLab } from './privileges.ts';

await enterLab();

class FrrPeer implements Peer {
  readonly host: Host;
  readonly #lab: Lab;
  readonly #instance: FrrInstance;
  #running: Frr | null = null;

  constructor(lab: Lab, host: Host, instance: FrrInstance) {
    this.host = host;
    this.#lab = lab;
    this.#instance = instance;
  }

  async start(): Promise<void> {
    this.#running = await Frr.start(this.host, this.#lab.folder, this.#instance);
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
  }

  describe(): string {
    return this.#running?.describe() ?? 'no frr was started';
  }
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
      const tell = (text: string): void => t.diagnostic(`${name}: ${text}`);
      const interop = await createInterop({
        vip,
        intervalMs,
        ipv6: vip === VIP_IPV6,
        virtualLinks: true,
        vrrp: { version, advertisementInterval: `${intervalMs}ms` },
        makePeer: (lab, host) => new FrrPeer(lab, host, { version, priority: 100, intervalMs, address: vip }),
      });
      try {
        const checkPackets = await readNeutrally(interop, tell);
        await playRoles(interop, tell);
        await checkPackets();
        const form = version === 3 ? 'pseudo-header' : 'message';
        const accepted = await acceptedChecksums(interop);
        assert.ok((accepted[form] ?? 0) > 0, JSON.stringify(accepted));
        assert.equal(await mismatches(interop), 0, describeInterop(interop));
      } finally {
        await interop.lab.remove();
      }
    });
  }

  for (const better of ['kube-vrrp', 'the peer'] as const) {
    test(`version 3, 10 ms, ${better} is preferred: it is lost, comes back, stops and starts`, async (t) => {
      const isOurs = better === 'kube-vrrp';
      const interop = await createInterop({
        vip: VIP_IPV4,
        intervalMs: 10,
        virtualLinks: true,
        // 1 of 254 is 128 of the band of class A.
        vrrp: { advertisementInterval: '10ms', preempt: 'always', priority: isOurs ? 254 : 1 },
        makePeer: (lab, host) =>
          new FrrPeer(lab, host, {
            version: 3,
            priority: isOurs ? 100 : 254,
            intervalMs: 10,
            address: VIP_IPV4,
          }),
      });
      try {
        const tell = (text: string): void => t.diagnostic(text);
        const checkPackets = await readNeutrally(interop, tell);
        await playReturns(interop, better, tell);
        await checkPackets();
      } finally {
        await interop.lab.remove();
      }
    });
  }
});
