/** The haproxy of a setup that kube-vrrp replaces, still there: the one that kind has, on a node's network. */
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eventually } from '../kit/eventually.ts';
import { LOAD_BALANCER, PORT } from './addresses.ts';
import { attempt, run } from './command.ts';
import { imageOf } from './images.ts';
import type { Node } from './node.ts';
import { SETTLED_MS } from './settled.ts';

const CONFIG = `defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen api
  bind :::${PORT} v4v6
  server local 127.0.0.1:6443
`;

type Named = Pick<Node, 'name'>;

function containerOn({ name }: Named): string {
  return `${name}-haproxy`;
}

/** Starts it, and waits until it has the port of kube-vrrp's proxy. */
export async function startHaproxy(node: Node): Promise<void> {
  await stopHaproxy(node);
  const container = containerOn(node);
  const file = join(tmpdir(), `${container}.cfg`);
  const image = await imageOf(LOAD_BALANCER);
  writeFileSync(file, CONFIG);
  try {
    await run([
      ...['docker', 'create', '--name', container, '--network', `container:${node.name}`],
      ...['--entrypoint', 'haproxy', image, '-f', '/haproxy.cfg'],
    ]);
    await run(['docker', 'cp', file, `${container}:/haproxy.cfg`]);
  } finally {
    rmSync(file);
  }
  await run(['docker', 'start', container]);
  await eventually(async () => (await node.script(`ss -Htln sport = :${PORT} | grep .`)).exitCode === 0, {
    what: `port ${PORT} of ${node.name} to be taken`,
    deadlineMs: SETTLED_MS,
  });
}

/** Ends it, if it runs. Does not reject. */
export async function stopHaproxy(node: Named): Promise<void> {
  await attempt(['docker', 'rm', '--force', containerOn(node)]);
}
