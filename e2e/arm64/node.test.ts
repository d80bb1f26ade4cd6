/**
 * kube-vrrp as the image has it on a machine of another architecture: what it does, and no figure of how fast, as an
 * emulated processor is none of the users'. Needs curl and the emitted JavaScript.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Cluster, PROXY_PORT } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host } from '../lab/host.ts';
import { createLab, type Lab, VIP_IPV4, VIP_IPV6 } from '../lab/lab.ts';
import { enterLab } from '../lab/privileges.ts';

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
    const host = vip.includes(':') ? `[${vip}]` : vip;
    const url = `https://${host}:${PROXY_PORT}/version`;
    await eventually(
      async () =>
        (
          await lab.client.exec('curl', '--silent', '--max-time', '10', '--cacert', cluster.caFile, url)
        ).stdout.includes('gitVersion'),
      { what: `an answer of ${url}`, otherwise: () => cluster.describe() },
    );
  };

  const heldBy = (vip: string, accepts: (host: Host) => boolean): Promise<Host> =>
    cluster.oneHolder(accepts, { vip });

  for (const vip of VIPS) {
    test(`one of them has ${vip}, and clients are served through it`, async () => {
      await heldBy(vip, () => true);
      await served(vip);
    });

    test(`kill -9: ${vip} leaves the kernel of the dead, and the other one serves`, async () => {
      const holder = await heldBy(vip, () => true);
      await cluster.daemon(holder).kill();
      await heldBy(vip, (host) => host !== holder);
      await served(vip);
      await cluster.startDaemon(holder).ready();
    });

    test(`SIGTERM: ${vip} is handed over, and the daemon ends with status 0`, async () => {
      const holder = await heldBy(vip, () => true);
      const [other] = cluster.others(holder) as [Host];
      await eventually(
        async () => (await cluster.daemon(other).status()).backends.some(({ state }) => state === 'up'),
        { what: 'the other node to have an API server, as it takes nothing over without' },
      );
      const fromMs = lab.timeline.lastAtMs;
      cluster.daemon(holder).signal('SIGTERM');
      const { code } = await cluster.daemon(holder).ended(30_000);
      assert.equal(code, 0, cluster.describe(fromMs));
      assert.match(
        cluster
          .daemon(holder)
          .transitions()
          .map(({ msg }) => msg)
          .join('\n'),
        /has taken over/,
      );
      await heldBy(vip, (host) => host !== holder);
      await served(vip);
      await cluster.startDaemon(holder).ready();
    });
  }
});
