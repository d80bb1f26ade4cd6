/** What each host sends on the segment: advertisements and announcements, counted where they leave the host. */
import { join } from 'node:path';

import { eventually } from './eventually.ts';
import type { Host } from './host.ts';
import type { Lab } from './lab.ts';
import { LabProcess } from './lab-process.ts';

export type Frame = {
  readonly atMs: number;
  /** Name of the host that sent it. */
  readonly port: string;
} & (
  | {
      readonly kind: 'vrrp';
      readonly version: number;
      readonly vrid: number;
      readonly priority: number;
      readonly source: string;
      readonly destination: string;
    }
  | {
      readonly kind: 'arp';
      readonly sender: string;
      readonly target: string;
      /** Sender and target are the same address (RFC 5227 3). */
      readonly gratuitous: boolean;
    }
  | { readonly kind: 'na'; readonly target: string; readonly unsolicited: boolean }
);

export class Capture {
  readonly #process: LabProcess;
  readonly #frames: Frame[] = [];

  private constructor(lab: Lab, onReady: () => void) {
    const ports = lab.hosts.map(({ name }) => name);
    this.#process = new LabProcess({
      namespace: lab.bridgeNamespace,
      command: ['python3', join(import.meta.dirname, 'capture.py'), ...ports],
      onLine: (line) => {
        const printed = JSON.parse(line) as Frame | { ready: true };
        if ('ready' in printed) onReady();
        else this.#frames.push(printed);
      },
    });
    lab.track(this.#process);
  }

  static async start(lab: Lab): Promise<Capture> {
    let isReady = false;
    const capture = new Capture(lab, () => (isReady = true));
    await eventually(() => isReady, { what: 'the capture', otherwise: () => capture.#process.stderr });
    return capture;
  }

  /** Frames that a host sent from `fromMs` to `toMs`. */
  sentBy(host: Host, fromMs: number, toMs = Number.POSITIVE_INFINITY): readonly Frame[] {
    return this.#frames.filter(({ atMs, port }) => port === host.name && atMs >= fromMs && atMs < toMs);
  }

  /** Time of the latest frame of any host. */
  get lastAtMs(): number {
    return this.#frames.at(-1)?.atMs ?? 0;
  }

  async stop(): Promise<void> {
    await this.#process.kill();
  }
}

/** True for a VRRP advertisement. */
export function isAdvertisement(frame: Frame): boolean {
  return frame.kind === 'vrrp';
}

/**
 * True for what tells neighbors where an address is now: gratuitous ARP, or an unsolicited neighbor advertisement.
 */
export function isAnnouncement(frame: Frame, address: string): boolean {
  if (frame.kind === 'arp') return frame.gratuitous && frame.target === address;
  return frame.kind === 'na' && frame.unsolicited && frame.target === address;
}
