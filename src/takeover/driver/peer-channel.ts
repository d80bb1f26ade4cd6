/** Tells peers of this node's clients, and hears of theirs: UDP on the link, opened again where that fails. */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { type OnLinkUdp, openOnLinkUdp, type Reception } from './on-link-udp.ts';
import type { ClientShare } from '../client-share.ts';
import { isHandoverNotice } from '../handover-notice.ts';
import { decodeMessage, MESSAGE_REJECTS, type MessageReject } from '../message.ts';
import type { PeerClients } from '../peer-clients.ts';
import { SenderQuota } from '../sender-quota.ts';

export type PeerChannelOptions = {
  /** Of this node; what is said comes from it. */
  readonly self: IpAddress;
  readonly peers: readonly IpAddress[];
  /** The index of the interface that the VIPs are on now; null when it is gone. */
  readonly linkIndex: () => number | null;
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
  /** Datagrams that the kernel has turned away, and those that it had no room for. */
  readonly dropped: number;
  readonly rejected: Readonly<Record<MessageReject, number>>;
};

const REOPEN_MS = 10_000;
const LOG_PERIOD_MS = 60_000;
/** One for failures, the others for peers. */
const LOG_KEYS = 8;
/** Twice what a peer that serves two VIPs sends in a burst of changes (client-share.ts). */
const DATAGRAMS_PER_PERIOD = 1000;
const PERIOD_MS = 1000;

export class PeerChannel {
  readonly #options: PeerChannelOptions;
  readonly #limit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  readonly #rejected = Object.fromEntries(MESSAGE_REJECTS.map((reason) => [reason, 0])) as Record<
    MessageReject,
    number
  >;
  readonly #counts = { messagesSent: 0, messagesReceived: 0, sentBytes: 0, sendErrors: 0 };
  readonly #quota = new SenderQuota(DATAGRAMS_PER_PERIOD, PERIOD_MS);
  #socket: OnLinkUdp | null = null;
  #linkIndex: number | null = null;
  /** Runs while a peer is not listened to. */
  #muted: NodeJS.Timeout | null = null;
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

  /** To be called now and then, and when the VIPs are on another interface. */
  lookAtLink(): void {
    const linkIndex = this.#options.linkIndex();
    // One that is gone has nothing to receive from.
    if (linkIndex === null || linkIndex === this.#linkIndex) return;
    this.#linkIndex = linkIndex;
    this.#receive();
  }

  /** Sends something else to one peer, if the channel is open; it may be lost. */
  send(octets: Uint8Array, peer: IpAddress): void {
    this.#socket?.send(octets, peer);
  }

  read(): PeerChannelCounts {
    const dropped = this.#socket?.dropped() ?? 0;
    return { ...this.#counts, dropped, rejected: { ...this.#rejected } };
  }

  /** Connections end after this, too; no timer for their sake keeps the thread from ending. */
  close(): void {
    this.#isClosed = true;
    if (this.#telling !== null) clearTimeout(this.#telling.timer);
    if (this.#reopening !== null) clearTimeout(this.#reopening);
    if (this.#muted !== null) clearTimeout(this.#muted);
    this.#socket?.close();
    this.#socket = null;
  }

  #open(): void {
    const { self, port, log } = this.#options;
    this.#reopening = null;
    this.#linkIndex = this.#options.linkIndex();
    try {
      this.#socket = openOnLinkUdp({
        address: self,
        port,
        reception: this.#reception(),
        onDatagram: (octets, source) => this.#onDatagram(octets, source),
        onError: (error) => this.#onError(error),
      });
    } catch (error) {
      const text = `no channel to the peers, so they do not learn the clients of this node, and clients that only read will hang if this node is lost: ${errorText(error)}; trying again in ${REOPEN_MS / 1000} s`;
      log('warn', text, { event: 'takeover_channel' });
      this.#reopening = setTimeout(() => this.#open(), REOPEN_MS);
    }
  }

  #onError(error: Error): void {
    this.#counts.sendErrors += 1;
    const suppressed = this.#limit.take('send', monotonicMs());
    if (suppressed === null) return;
    this.#options.log('warn', `cannot send a peer the list of clients: ${error.message}`, {
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

  /** All peers, but for those that have sent too much. */
  #reception(): Reception {
    const nowMs = monotonicMs();
    const neighbors = this.#options.peers.filter(({ text }) => !this.#quota.isUsedUp(text, nowMs));
    return { neighbors, linkIndex: this.#linkIndex };
  }

  #receive(): void {
    try {
      this.#socket?.receive(this.#reception());
    } catch (error) {
      this.#onError(error as Error);
    }
  }

  /** What a flood in a peer's name costs is bounded: the kernel turns the rest of the second away. */
  #mute(peer: IpAddress, nowMs: number): void {
    this.#receive();
    this.#muted ??= setTimeout(() => {
      this.#muted = null;
      this.#receive();
    }, PERIOD_MS);
    const suppressed = this.#limit.take(peer.text, nowMs);
    if (suppressed === null) return;
    const text = `more than ${DATAGRAMS_PER_PERIOD} datagrams a second come from ${peer.text} to UDP port ${this.#options.port}: the rest of each second is dropped, and with it what that peer sends about its clients`;
    this.#options.log('warn', text, { event: 'takeover_flood', peer: peer.text, suppressed });
  }

  #onDatagram(octets: Uint8Array, source: IpAddress | null): void {
    // The kernel lets no others through.
    const peer = this.#options.peers.find(({ text }) => text === source?.text);
    if (peer === undefined) return;
    const nowMs = monotonicMs();
    if (this.#quota.take(peer.text, nowMs)) this.#mute(peer, nowMs);
    if (isHandoverNotice(octets)) {
      if (!this.#options.onNotice(octets, peer)) this.#rejected.notice += 1;
      return;
    }
    const decoded = decodeMessage(octets, this.#options.vrid);
    if (!decoded.ok) {
      this.#rejected[decoded.reason] += 1;
      return;
    }
    if (this.#options.known.accept(peer.text, decoded.message, nowMs)) this.#counts.messagesReceived += 1;
    else this.#rejected.stale += 1;
  }
}
