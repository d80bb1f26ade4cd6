/**
 * The leaving side of a planned handover: tells every peer beforehand that this node will give the VIP up, and where
 * frames reach it. A peer that answers has opened a shelter for this node's clients (shelter.ts).
 */
import type { IpAddress } from '../../ip/address.ts';
import type { Log } from '../../log/log.ts';
import { encodeHandoverNotice } from '../handover-notice.ts';

export type DepartureOptions = {
  readonly vrid: number;
  readonly peers: readonly IpAddress[];
  /** The Ethernet address of the interface that has the VIP now; null when there is none. */
  readonly mac: () => Uint8Array | null;
  readonly send: (octets: Uint8Array, peer: IpAddress) => void;
  readonly log: Log;
};

/** A peer that has not answered by then is not waited for: it may be down. The holder serves meanwhile. */
const READY_MS = 200;

/** Those that have not answered, and what ends the wait once all have. */
type Announcement = { readonly unready: Set<string>; readonly allReady: () => void };

export class Departure {
  readonly #options: DepartureOptions;
  #announcing: Promise<void> | null = null;
  #announcement: Announcement | null = null;

  constructor(options: DepartureOptions) {
    this.#options = options;
  }

  /**
   * Tells all peers, and resolves when they are prepared, after READY_MS at most: the log names those that are not. A
   * call during another one joins it. Does nothing without an Ethernet address. Never rejects.
   */
  announce(): Promise<void> {
    this.#announcing ??= this.#announce().finally(() => {
      this.#announcing = null;
    });
    return this.#announcing;
  }

  /** The peer answers that it is prepared. */
  peerIsReady(peer: IpAddress): void {
    if (this.#announcement === null) return;
    const { unready, allReady } = this.#announcement;
    unready.delete(peer.text);
    if (unready.size === 0) allReady();
  }

  async #announce(): Promise<void> {
    const { vrid, peers, send, log } = this.#options;
    const mac = this.#options.mac();
    if (mac === null || peers.length === 0) return;
    const unready = new Set(peers.map(({ text }) => text));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, READY_MS);
      const allReady = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#announcement = { unready, allReady };
      const notice = encodeHandoverNotice({ vrid, step: 'leaving', mac });
      for (const peer of peers) send(notice, peer);
    });
    this.#announcement = null;
    if (unready.size === 0) return;
    const late = [...unready];
    const it = late.length === 1 ? 'it' : 'one of them';
    const text = `no answer from ${late.join(' and ')} within ${READY_MS} ms: if ${it} takes over, requests in progress will be reset`;
    log('info', text, { event: 'handover_unprepared', peers: late });
  }
}
