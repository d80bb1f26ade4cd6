/**
 * Real kubectl against real API servers through VIP:36443, while API servers are killed, stopped and restarted:
 * `npm run test:kubernetes`. Prints what it saw, and
 * fails at the first thing that is not as it must be. About three minutes on two cores.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { monotonicMs } from '../../src/runtime/clock.ts';
import { API_SERVER_PORT } from '../kit/apiserver.ts';
import type { Certificate } from '../kit/certificates.ts';
import { Cluster, PROXY_PORT } from '../kit/cluster.ts';
import { eventually } from '../kit/eventually.ts';
import type { Host, Output } from '../kit/host.ts';
import { findKubernetes, type KubeApiServer } from '../kit/kubernetes.ts';
import { createLab, type Lab, VIP_IPV4 } from '../kit/lab.ts';
import type { LabProcess } from '../kit/lab-process.ts';
import { enterLab } from '../kit/privileges.ts';

const MANIFEST_OBJECTS = 300;
const BIG_OBJECTS = 56;
const BIG_OBJECT_BYTES = 900_000;
const STEP_MS = 120_000;

const startMs = monotonicMs();
const say = (text: string): void =>
  console.log(`${((monotonicMs() - startMs) / 1000).toFixed(1)} s  ${text}`);

class Kubectl {
  readonly #host: Host;
  readonly #flags: readonly string[];

  constructor(host: Host, server: string, caFile: string, admin: Certificate) {
    this.#host = host;
    this.#flags = [
      `--server=${server}`,
      `--certificate-authority=${caFile}`,
      `--client-certificate=${admin.certFile}`,
      `--client-key=${admin.keyFile}`,
    ];
  }

  async run(...words: readonly string[]): Promise<Output> {
    return this.#host.exec('kubectl', ...this.#flags, ...words);
  }

  /** Throws with what kubectl said when it fails. */
  async must(...words: readonly string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.run(...words);
    assert.equal(exitCode, 0, `kubectl ${words.join(' ')}: ${stderr}`);
    return stdout;
  }

  spawn(onLine: (line: string) => void, ...words: readonly string[]): LabProcess {
    return this.#host.spawn({ command: ['kubectl', ...this.#flags, ...words], onLine });
  }

  /** Length of the answer's body, and SHA-256 of its items: before them is a revision that grows by itself. */
  async digest(path: string, folder: string): Promise<{ readonly bytes: number; readonly sha256: string }> {
    const file = join(folder, 'answer.json');
    const command = ['kubectl', ...this.#flags, 'get', '--raw', path];
    const script = `exec "$@" > ${file}`;
    const { exitCode, stderr } = await this.#host.exec('sh', '-c', script, 'sh', ...command);
    assert.equal(exitCode, 0, `kubectl get --raw ${path}: ${stderr}`);
    const body = readFileSync(file);
    const items = body.subarray(body.indexOf('"items"'));
    return { bytes: body.length, sha256: createHash('sha256').update(items).digest('hex') };
  }
}

/** As informers do: a watch that ends is begun anew, and what was there already comes again. */
class Follower {
  readonly seen = new Set<string>();
  watches = 0;
  readonly #kubectl: Kubectl;
  #process: LabProcess | null = null;
  #isStopped = false;

  constructor(kubectl: Kubectl) {
    this.#kubectl = kubectl;
    void this.#follow();
  }

  async #follow(): Promise<void> {
    while (!this.#isStopped) {
      this.watches += 1;
      this.#process = this.#kubectl.spawn(
        (line) => this.seen.add(line),
        'get',
        'configmaps',
        '-w',
        '-o',
        'name',
      );
      await this.#process.exited;
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#process?.kill();
  }
}

/** Connections of the holder's proxy to each API server. */
async function connectionsBy(cluster: Cluster): Promise<ReadonlyMap<string, number>> {
  const { backends } = await cluster.daemon(cluster.holder()).status();
  return new Map(backends.map(({ id, connections }) => [id, connections]));
}

async function watchThroughAFailure(
  cluster: Cluster,
  servers: Map<Host, KubeApiServer>,
  kubectl: Kubectl,
): Promise<void> {
  const follower = new Follower(kubectl);
  const comes = (name: string): Promise<unknown> =>
    eventually(() => follower.seen.has(`configmap/${name}`), {
      what: `the watch to tell of ${name}`,
      deadlineMs: STEP_MS,
    });
  await kubectl.must('create', 'configmap', 'before');
  await comes('before');
  const connections = await connectionsBy(cluster);
  const serving = cluster.hosts.find((host) => (connections.get(`${host.ipv4}:${API_SERVER_PORT}`) ?? 0) > 0);
  assert.ok(serving !== undefined, 'some API server serves the watch');
  const killedMs = monotonicMs();
  await servers.get(serving)?.kill();
  await eventually(() => follower.watches > 1, { what: 'the watch to end', deadlineMs: 10_000 });
  const endedMs = monotonicMs() - killedMs;
  await eventually(async () => (await kubectl.run('create', 'configmap', 'during')).exitCode === 0, {
    what: 'a request to be served',
    deadlineMs: STEP_MS,
  });
  await comes('during');
  say(
    `watch: ended ${endedMs.toFixed(0)} ms after its API server (${serving.name}) was killed, and told of the next object ${(monotonicMs() - killedMs).toFixed(0)} ms after`,
  );
  await servers.get(serving)?.restart();
  await follower.stop();
}

function manifest(folder: string): string {
  const file = join(folder, 'manifest.yaml');
  const one = (index: number): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: part-${index}, labels: { of: manifest } }\ndata: { text: "${'x'.repeat(3000)}" }\n`;
  writeFileSync(file, Array.from({ length: MANIFEST_OBJECTS }, (_, index) => one(index)).join('---\n'));
  return file;
}

async function applyWhileKilled(
  cluster: Cluster,
  servers: Map<Host, KubeApiServer>,
  kubectl: Kubectl,
): Promise<void> {
  const file = manifest(cluster.lab.folder);
  let runs = 0;
  let isApplied = false;
  const apply = (async () => {
    while (!isApplied) {
      runs += 1;
      isApplied = (await kubectl.run('apply', '-f', file)).exitCode === 0;
    }
  })();
  for (const host of cluster.hosts) {
    await servers.get(host)?.restart();
    if (isApplied) break;
  }
  await apply;
  const names = await kubectl.must('get', 'configmaps', '-l', 'of=manifest', '-o', 'name');
  assert.equal(names.trim().split('\n').length, MANIFEST_OBJECTS);
  say(
    `apply of ${MANIFEST_OBJECTS} objects while API servers were killed and restarted: all there after ${runs} run(s)`,
  );
}

async function largeList(
  cluster: Cluster,
  servers: Map<Host, KubeApiServer>,
  kubectl: Kubectl,
  direct: (host: Host) => Kubectl,
): Promise<void> {
  await kubectl.must('create', 'namespace', 'big');
  const file = join(cluster.lab.folder, 'big.txt');
  writeFileSync(file, 'y'.repeat(BIG_OBJECT_BYTES));
  for (let index = 0; index < BIG_OBJECTS; index += 1) {
    await kubectl.must('-n', 'big', 'create', 'configmap', `big-${index}`, `--from-file=text=${file}`);
  }
  const path = '/api/v1/namespaces/big/configmaps';
  const [holder] = [cluster.holder()];
  const expected = await direct(holder).digest(path, cluster.lab.folder);
  assert.ok(expected.bytes > 50_000_000, `${expected.bytes} bytes`);
  const [victim] = cluster.others(holder);
  assert.ok(victim !== undefined);
  servers.get(victim)?.signal('SIGSTOP');
  const fromMs = monotonicMs();
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(await kubectl.digest(path, cluster.lab.folder), expected);
  }
  say(
    `LIST of ${(expected.bytes / 1e6).toFixed(1)} MB three times in ${(monotonicMs() - fromMs).toFixed(0)} ms, the same bytes as without a proxy, while an API server was stopped (SIGSTOP)`,
  );
  servers.get(victim)?.signal('SIGCONT');
}

async function main(): Promise<void> {
  await enterLab();
  const servers = new Map<Host, KubeApiServer>();
  const start = findKubernetes(servers);
  if (start === null)
    throw new Error('no etcd and kube-apiserver on PATH: PATH=$(bash e2e/kubernetes/build.sh):$PATH');
  const lab: Lab = await createLab({ hosts: 3, clients: 1, ipv6: false });
  try {
    let admin: Certificate | null = null;
    const cluster = await Cluster.start(lab, {
      startApiServers: async (hosts, authority, folder) => {
        admin = await authority.issue('admin', ['127.0.0.1'], '/O=system:masters/CN=admin');
        await start(hosts, authority, folder);
      },
    });
    if (admin === null) throw new Error('no certificate was made');
    const pair: Certificate = admin;
    say('three real API servers and three kube-vrrp are up');
    const at = (address: string, port: number): Kubectl =>
      new Kubectl(lab.client, `https://${address}:${port}`, cluster.caFile, pair);
    const kubectl = at(VIP_IPV4, PROXY_PORT);
    await kubectl.must('get', 'namespaces');
    say('kubectl get namespaces through the VIP');
    await watchThroughAFailure(cluster, servers, kubectl);
    await applyWhileKilled(cluster, servers, kubectl);
    await largeList(cluster, servers, kubectl, (host) => at(host.ipv4, API_SERVER_PORT));
  } finally {
    await lab.remove();
  }
}

await main();
process.exit(0);
