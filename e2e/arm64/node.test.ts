/**
 * kube-vrrp as the image has it on a machine of another architecture: what it does, and no figure of how fast, as an
 * emulated processor is none of the users'. Needs curl and the emitted JavaScript.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Cluster } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host } from '../kit/host.ts';
import { createLab, type Lab, VIP_IPV4, VIP_IPV6 } from '../kit/lab.ts';
import { enterLab } from '../kit/privileges.ts';

await enterLab();

const VIPS = [VIP_IPV4, VIP_IPV6];

describe('two nodes', () => {
  let lab: Lab;
  let cluster: Cluster;

  before(async () => {
    lab = await createLab({ hosts: 2, clients: 1, ipv6: true });
    // Seconds, as each message may take an emulated processor as long as an interval elsewhere.
    const config = { vrrp: { advertisementInterval: '1s' }, health: { interval: '5s', timeout: '4s' } };
    cluster = await Cluster.prepare(lab, { vips: VIPS, config });
    for (const host of cluster.hosts) cluster.startDaemon(host);
    for (const host of cluster.hosts) await cluster.daemon(host).ready();
  });
  after(async () => lab.remove());

  const served = async (vip: string): Promise<void> => {
    const url = cluster.url(vip, '/version');
    const curl = ['curl', '--silent', '--max-time', '10', '--cacert', cluster.caFile, url];
    await eventually(async () => (await lab.client.exec(...curl)).stdout.includes('gitVersion'), {
      what: `an answer of ${url}`,
      otherwise: () => cluster.describe(),
    });
  };

  const holderOf = (vip: string, accepts?: (host: Host) => boolean): Promise<Host> =>
    cluster.oneHolder(accepts, { vip });

  for (const vip of VIPS) {
    test(`one of them has ${vip}, and clients are served through it`, async () => {
      await holderOf(vip);
      await served(vip);
    });

    test(`kill -9: ${vip} leaves the kernel of the dead, and the other one serves`, async () => {
      const holder = await holderOf(vip);
      await cluster.daemon(holder).kill();
      await holderOf(vip, (host) => host !== holder);
      await served(vip);
      await cluster.startDaemon(holder).ready();
    });

    test(`SIGTERM: ${vip} is handed over, and the daemon ends with status 0`, async () => {
      const holder = await holderOf(vip);
      const [other] = cluster.others(holder) as [Host];
      await eventually(
        async () => (await cluster.daemon(other).status()).backends.some(({ state }) => state === 'up'),
        { what: 'the other node to have an API server, as it takes nothing over without' },
      );
      cluster.daemon(holder).signal('SIGTERM');
      const { code } = await cluster.daemon(holder).ended(30_000);
      assert.equal(code, 0, cluster.describe());
      const transitions = cluster.daemon(holder).transitions();
      assert.match(transitions.map(({ msg }) => msg).join('\n'), /has taken over/);
      await holderOf(vip, (host) => host !== holder);
      await served(vip);
      await cluster.startDaemon(holder).ready();
    });
  }
});
