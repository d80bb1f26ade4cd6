/** What kind's own network plug-in does, done once from outside for a node image without it. */
import { eventually } from '../kit/eventually.ts';
import type { Kubectl } from './kubectl.ts';
import type { Machine } from './machine.ts';
import { SETTLED_MS } from './settled.ts';

type NodeList = {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly podCIDR?: string };
  }[];
};

function pluginConfig(podCidr: string): string {
  return JSON.stringify({
    cniVersion: '0.3.1',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        mtu: 1500,
        ipam: {
          type: 'host-local',
          dataDir: '/run/cni-ipam-state',
          ranges: [[{ subnet: podCidr }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/** Gives every node a plug-in's configuration, and routes to the pods of the others. */
export async function joinPodNetworks(kubectl: Kubectl, nodes: readonly Machine[]): Promise<void> {
  const { items } = await eventually(async () => (await kubectl.get('nodes')) as NodeList, {
    what: 'the nodes through the VIP',
    deadlineMs: SETTLED_MS,
  });
  const routes = items.flatMap(({ metadata, spec }) => {
    const node = nodes.find(({ name }) => name === metadata.name);
    return node === undefined || spec.podCIDR === undefined ? [] : [{ node, podCidr: spec.podCIDR }];
  });
  for (const { node, podCidr } of routes) {
    const script = [
      'mkdir -p /etc/cni/net.d',
      `echo '${pluginConfig(podCidr)}' > /etc/cni/net.d/10-pods.conflist`,
      ...routes
        .filter((other) => other.node !== node)
        .map((other) => `ip route replace ${other.podCidr} via ${other.node.ipv4}`),
    ].join('\n');
    const { exitCode, stderr } = await node.script(script);
    if (exitCode !== 0) throw new Error(`the pod network of ${node.name} cannot be set up: ${stderr}`);
  }
}
