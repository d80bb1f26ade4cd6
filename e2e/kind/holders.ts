/** Who has the VIPs in the kernel, of the nodes that run now. */
import { join } from 'node:path';

import { eventually } from '../kit/eventually.ts';
import { HolderTimeline, sampledAddress, type Sample, type SamplerTask } from '../kit/holders.ts';
import { LabProcess } from '../kit/lab-process.ts';
import type { Node } from './node.ts';
import { SETTLED_MS } from './settled.ts';

const SAMPLE_INTERVAL_MS = 10;
const SAMPLER = join(import.meta.dirname, '../kit/sampler-process.ts');

/** A timeline that goes on while nodes come and go. */
export class Holders {
  readonly timeline = new HolderTimeline();
  readonly #vips: readonly string[];
  #sampler: LabProcess | null = null;

  constructor(vips: readonly string[]) {
    this.#vips = vips;
  }

  /**
   * Looks into the nodes that run now. To be called again when one has been started: its kernel's tables are new ones.
   */
  async watch(nodes: readonly Node[]): Promise<void> {
    const pids = await Promise.all(nodes.map(async (node) => ({ name: node.name, pid: await node.pid() })));
    const hosts = pids.filter(({ pid }) => pid > 0);
    await this.stop();
    const task: SamplerTask = {
      intervalMs: SAMPLE_INTERVAL_MS,
      hosts,
      addresses: this.#vips.map((vip) => sampledAddress(vip, null)),
    };
    const sinceMs = this.timeline.lastAtMs;
    const sampler = new LabProcess({
      namespace: null,
      command: [process.execPath, SAMPLER, JSON.stringify(task)],
      onLine: (line) => this.timeline.record(JSON.parse(line) as Sample),
    });
    this.#sampler = sampler;
    await eventually(() => this.timeline.lastAtMs > sinceMs, {
      what: 'the sampler of the nodes',
      deadlineMs: SETTLED_MS,
      otherwise: () => sampler.stderr,
    });
  }

  async stop(): Promise<void> {
    await this.#sampler?.kill();
    this.#sampler = null;
  }
}
