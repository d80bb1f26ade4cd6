/** Tells peers of this node's clients, and hears of theirs: UDP on the link, opened again where that fails. */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { type OnLinkUdp, openOnLinkUdp } from './on-link-udp.ts';
import type { ClientShare } from '../client-share.ts';
import { isHandoverNotice } from '../handover-notice.ts';
import { decodeMessage, MESSAGE_REJECTS, type MessageReject } from '../message.ts';
import type { PeerClients } from '../peer-clients.ts';

export type PeerChannelOptions = {
  /** Of this node; what is said comes from it. */
  readonly self: IpAddress;
  readonly peers: readonly IpAddress[];
  readonly vrid: number;
  /** UDP, on all nodes. */
  readonly port: number;
  /** What is told, one for each VIP. */
  readonly shares: readonly ClientShare[];
  /** Takes what is heard. */
  readonly known: PeerClients;
  /** A peer's notice of a handover has come; returns false when it is none in the right form, or not for this node. */
  readonly onNotice: (octets: Uint8Array, peer: IpAddress) => boolean;
  readonly log: Log;
};

export type PeerChannelCounts = {
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly sentBytes: number;
  readonly sendErrors: number;
  readonly rejected: Readonly<Record<MessageReject, number>>;
};

const REOPEN_MS = 10_000;
const LOG_PERIOD_MS = 60_000;

export class PeerChannel {
  readonly #options: PeerChannelOptions;
  readonly #limit = new LogLimit(LOG_PERIOD_MS, 1);
  readonly #rejected = Object.fromEntries(MESSAGE_REJECTS.map((reason) => [reason, 0])) as Record<
    MessageReject,
    number
  >;
  readonly #counts = { messagesSent: 0, messagesReceived: 0, sentBytes: 0, sendErrors: 0 };
  #socket: OnLinkUdp | null = null;
  #telling: { readonly timer: NodeJS.Timeout; readonly atMs: number } | null = null;
  #reopening: NodeJS.Timeout | null = null;
  #isClosed = false;

  /** Begins to listen, and to tell, at once. */
  constructor(options: PeerChannelOptions) {
    this.#options = options;
    this.#open();
    for (const share of options.shares) this.tellLater(share);
  }

  /** To be called after every change of a share: tells peers when that is due. */
  tellLater(share: ClientShare): void {
    if (this.#isClosed) return;
    const nowMs = monotonicMs();
    const atMs = nowMs + share.dueInMs(nowMs);
    if (atMs === Infinity || (this.#telling !== null && this.#telling.atMs <= atMs)) return;
    if (this.#telling !== null) clearTimeout(this.#telling.timer);
    this.#telling = { timer: setTimeout(() => this.#tell(), Math.ceil(atMs - nowMs)), atMs };
  }

  /** Sends something else to one peer, if the channel is open; it may be lost. */
  send(octets: Uint8Array, peer: IpAddress): void {
    this.#socket?.send(octets, peer);
  }

  read(): PeerChannelCounts {
    return { ...this.#counts, rejected: { ...this.#rejected } };
  }

  /** Connections end after this, too; no timer for their sake keeps the thread from ending. */
  close(): void {
    this.#isClosed = true;
    if (this.#telling !== null) clearTimeout(this.#telling.timer);
    if (this.#reopening !== null) clearTimeout(this.#reopening);
    this.#socket?.close();
    this.#socket = null;
  }

  #open(): void {
    const { self, port, log } = this.#options;
    this.#reopening = null;
    try {
      this.#socket = openOnLinkUdp({
        address: self,
        port,
        onDatagram: (octets, source) => this.#onDatagram(octets, source),
        onError: (error) => this.#onError(error),
      });
    } catch (error) {
      const text = `peers cannot be told of clients, so theirs hang should this node be lost: ${errorText(error)}; trying again in ${REOPEN_MS / 1000} s`;
      log('warn', text, { event: 'takeover_channel' });
      this.#reopening = setTimeout(() => this.#open(), REOPEN_MS);
    }
  }

  #onError(error: Error): void {
    this.#counts.sendErrors += 1;
    const suppressed = this.#limit.take('send', monotonicMs());
    if (suppressed === null) return;
    this.#options.log('warn', `cannot tell a peer of clients: ${error.message}`, {
      event: 'takeover_channel',
      suppressed,
    });
  }

  #tell(): void {
    this.#telling = null;
    const nowMs = monotonicMs();
    for (const share of this.#options.shares) {
      for (const octets of share.take(nowMs)) this.#sendToPeers(octets);
      this.tellLater(share);
    }
  }

  /** What cannot be sent is lost, as on the way: the sweeps make it good. */
  #sendToPeers(octets: Uint8Array): void {
    if (this.#socket === null) return;
    for (const peer of this.#options.peers) {
      this.#socket.send(octets, peer);
      this.#counts.messagesSent += 1;
      this.#counts.sentBytes += octets.length;
    }
  }

  #onDatagram(octets: Uint8Array, source: IpAddress | null): void {
    const peer = this.#options.peers.find(({ text }) => text === source?.text);
    if (peer === undefined) {
      this.#rejected.not_a_peer += 1;
      return;
    }
    if (isHandoverNotice(octets)) {
      if (!this.#options.onNotice(octets, peer)) this.#rejected.notice += 1;
      return;
    }
    const decoded = decodeMessage(octets, this.#options.vrid);
    if (!decoded.ok) {
      this.#rejected[decoded.reason] += 1;
      return;
    }
    if (this.#options.known.accept(peer.text, decoded.message)) this.#counts.messagesReceived += 1;
    else this.#rejected.stale += 1;
  }
}
