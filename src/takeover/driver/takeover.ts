/**
 * Lets no client of a lost Active hang: shares the clients of this node's VIPs with its peers, and as the new Active
 * prompts those of the lost one, so that they find out at once and come back.
 *
 * The client's answer to the prompt meets no socket, and the kernel replies RST. A packet filter with connection
 * tracking may take that answer for invalid and drop it, so answers are also read before the filter, from a packet
 * socket, and replied to from here. Two RSTs do no harm.
 */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { type Family, type IpAddress, parseSocketAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import { monotonicMs } from '../../net/clock.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../../net/frames.ts';
import { EVERY_LINK, LinkSocket } from '../../net/link-socket.ts';
import { type OnLinkUdp, openOnLinkUdp } from '../../net/on-link-udp.ts';
import { SegmentSocket } from '../../net/segment-socket.ts';
import { bareSegmentsTo } from '../../net/socket-filter.ts';
import { ClientShare } from '../client-share.ts';
import { decodeMessage, MESSAGE_REJECTS, type MessageReject } from '../message.ts';
import { PeerClients } from '../peer-clients.ts';
import { isHandoverNotice } from '../handover-notice.ts';
import { type Fate, ResetPlan } from '../reset-plan.ts';
import { promptSegment, readWord, resetSegment, type Service } from '../segment.ts';
import { addressOf, type ClientKey, clientKey } from '../tuple.ts';
import { Handover } from './handover.ts';

export type TakeoverOptions = {
  /** Of this node; what is said to peers comes from it. */
  readonly self: IpAddress;
  /** The other members of the group, of the same family. */
  readonly peers: readonly IpAddress[];
  readonly vrid: number;
  /** TCP port of the service, and UDP port of the word among peers. */
  readonly port: number;
  readonly vips: readonly IpAddress[];
  /** That the VIPs are bound on. */
  readonly interfaceName: string;
  /** How many sockets of this process listen on `port`. */
  readonly listeners: number;
  readonly log: Log;
};

/** The end of a connection that is the client's, and the one that it came to, as sockets have them. */
export type ClientConnection = {
  readonly client: string;
  readonly clientPort: number;
  readonly local: string;
};

export type TakeoverCounts = {
  /** Clients of this node's VIPs, which peers are told of. */
  readonly shared: number;
  /** Clients that peers have told of. */
  readonly known: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly messagesLost: number;
  readonly sentBytes: number;
  readonly sendErrors: number;
  readonly rejected: Readonly<Record<MessageReject, number>>;
  /** Prompts sent to clients of lost holders. */
  readonly prompts: number;
  /** Clients of lost holders by what became of them; `silent`: they did not answer, as those on the lost host. */
  readonly fates: Readonly<Record<Fate | 'silent', number>>;
};

const REOPEN_MS = 10_000;
const PROMPT_INTERVAL_MS = 5;
const FRAME_BYTES = 256;
const MAX_FRAMES_PER_TURN = 500;
const LOG_PERIOD_MS = 60_000;

/** One VIP's part: whom this node serves through it, and the takeover under way, if any. */
type VipTakeover = {
  readonly service: Service;
  readonly share: ClientShare;
  isActive: boolean;
  run: Run | null;
};

type Run = {
  readonly plan: ResetPlan;
  readonly startedMs: number;
  readonly clients: number;
  readonly segments: SegmentSocket;
  readonly tap: LinkSocket | null;
  readonly timer: NodeJS.Timeout;
};

export class Takeover {
  private readonly options: TakeoverOptions;
  private readonly vips: readonly VipTakeover[];
  private readonly known = new PeerClients();
  private readonly handover: Handover;
  private readonly limit = new LogLimit(LOG_PERIOD_MS, 16);
  private readonly rejected = Object.fromEntries(MESSAGE_REJECTS.map((reason) => [reason, 0])) as Record<
    MessageReject,
    number
  >;
  private readonly frame = new Uint8Array(FRAME_BYTES);
  private channel: OnLinkUdp | null = null;
  private telling: { readonly timer: NodeJS.Timeout; readonly atMs: number } | null = null;
  private reopening: NodeJS.Timeout | null = null;
  private counts = {
    messagesSent: 0,
    messagesReceived: 0,
    sentBytes: 0,
    sendErrors: 0,
    prompts: 0,
  };
  private readonly fates: Record<Fate | 'silent', number> = { told: 0, gone: 0, silent: 0 };

  /** Begins to listen to peers at once. */
  constructor(options: TakeoverOptions) {
    this.options = options;
    const generation = randomBytes(4).readUInt32BE();
    this.vips = options.vips.map((vip) => ({
      service: { vip, port: options.port },
      share: new ClientShare({ family: vip.family, vrid: options.vrid, generation }),
      isActive: false,
      run: null,
    }));
    this.handover = new Handover({
      ...options,
      services: this.vips.map(({ service }) => service),
      send: (octets, peer) => this.channel?.send(octets, peer),
    });
    this.openChannel();
    for (const { share } of this.vips) this.tellLater(share);
  }

  /** A client has got its backend. Connections that are not to a VIP do not matter here. */
  opened(connection: ClientConnection): void {
    const end = this.endOf(connection);
    if (end === null) return;
    end.vip.share.opened(end.key);
    this.tellLater(end.vip.share);
    end.vip.run?.plan.settle(end.key, 'told');
    this.known.forget(end.key);
  }

  closed(connection: ClientConnection): void {
    const end = this.endOf(connection);
    if (end === null) return;
    end.vip.share.closed(end.key);
    this.tellLater(end.vip.share);
  }

  /** Whether this node is Active for a VIP. On becoming so, the takeover of its clients begins; afterwards it ends. */
  setActive(vipText: string, isActive: boolean): void {
    const vip = this.vips.find(({ service }) => service.vip.text === vipText);
    if (vip === undefined || vip.isActive === isActive) return;
    vip.isActive = isActive;
    if (!isActive) {
      this.end(vip, 'the VIP has moved on');
      return;
    }
    // After a planned handover the old holder closes its clients' connections itself. But what it sends does not reach
    // processes of this host: it comes from an address that is this host's now, and the kernel drops that.
    if (this.handover.isSheltering) this.begin(vip, isOnThisHost());
    this.handover.becameActive(() => vip.isActive && this.begin(vip));
  }

  /** This node is about to give its VIPs up. Resolves when whoever may take them is prepared, or after some 30 ms. */
  async prepareHandover(): Promise<void> {
    await this.handover.announce();
  }

  /** The service's listeners are about to close. */
  stopSheltering(): void {
    this.handover.close();
  }

  read(): TakeoverCounts {
    return {
      ...this.counts,
      fates: { ...this.fates },
      shared: this.vips.reduce((sum, { share }) => sum + share.size, 0),
      known: this.known.size,
      messagesLost: this.known.lost,
      rejected: { ...this.rejected },
    };
  }

  close(): void {
    if (this.telling !== null) clearTimeout(this.telling.timer);
    if (this.reopening !== null) clearTimeout(this.reopening);
    this.handover.close();
    for (const vip of this.vips) this.end(vip, 'stopping');
    this.channel?.close();
    this.channel = null;
  }

  private openChannel(): void {
    const { self, port, log } = this.options;
    this.reopening = null;
    try {
      this.channel = openOnLinkUdp({
        address: self,
        port,
        onDatagram: (octets, source) => this.onDatagram(octets, source),
        onError: (error) => this.onChannelError(error),
      });
    } catch (error) {
      const text = `peers cannot be told of clients, so theirs hang should this node be lost: ${errorText(error)}; trying again in ${REOPEN_MS / 1000} s`;
      log('warn', text, { event: 'takeover_channel' });
      this.reopening = setTimeout(() => this.openChannel(), REOPEN_MS);
    }
  }

  private onChannelError(error: Error): void {
    this.counts.sendErrors += 1;
    const suppressed = this.limit.take('channel', monotonicMs());
    if (suppressed === null) return;
    this.options.log('warn', `cannot tell a peer of clients: ${error.message}`, {
      event: 'takeover_channel',
      suppressed,
    });
  }

  private tellLater(share: ClientShare): void {
    const nowMs = monotonicMs();
    const atMs = nowMs + share.dueInMs(nowMs);
    if (atMs === Infinity || (this.telling !== null && this.telling.atMs <= atMs)) return;
    if (this.telling !== null) clearTimeout(this.telling.timer);
    this.telling = { timer: setTimeout(() => this.tell(), Math.ceil(atMs - nowMs)), atMs };
  }

  private tell(): void {
    this.telling = null;
    const nowMs = monotonicMs();
    for (const { share } of this.vips) {
      for (const octets of share.take(nowMs)) this.sendToPeers(octets);
      this.tellLater(share);
    }
  }

  /** What cannot be sent is lost, as on the way: the sweeps make it good. */
  private sendToPeers(octets: Uint8Array): void {
    if (this.channel === null) return;
    for (const peer of this.options.peers) {
      this.channel.send(octets, peer);
      this.counts.messagesSent += 1;
      this.counts.sentBytes += octets.length;
    }
  }

  private onDatagram(octets: Uint8Array, source: IpAddress | null): void {
    const peer = this.options.peers.find(({ text }) => text === source?.text);
    if (peer === undefined) {
      this.rejected.not_a_peer += 1;
      return;
    }
    if (isHandoverNotice(octets)) {
      const mayFollow = this.vips.some(({ isActive }) => !isActive);
      if (!this.handover.accept(octets, peer, mayFollow)) this.rejected.notice += 1;
      return;
    }
    const decoded = decodeMessage(octets, this.options.vrid);
    if (!decoded.ok) {
      this.rejected[decoded.reason] += 1;
      return;
    }
    if (this.known.accept(peer.text, decoded.message)) this.counts.messagesReceived += 1;
    else this.rejected.stale += 1;
  }

  private begin(vip: VipTakeover, isWanted: (key: ClientKey) => boolean = () => true): void {
    const { vip: address } = vip.service;
    const clients = this.known.take(address.family, isWanted).filter((key) => !vip.share.has(key));
    if (clients.length === 0) return;
    let segments: SegmentSocket;
    try {
      segments = new SegmentSocket(address.family);
    } catch (error) {
      const text = `${clients.length} clients of the lost holder are left to their timeouts: ${errorText(error)}`;
      this.options.log('warn', text, { event: 'takeover_failed', vip: address.text });
      return;
    }
    this.end(vip, null);
    const startedMs = monotonicMs();
    vip.run = {
      plan: new ResetPlan(clients, startedMs),
      startedMs,
      clients: clients.length,
      segments,
      tap: this.openTap(address),
      timer: setInterval(() => this.turn(vip), PROMPT_INTERVAL_MS),
    };
  }

  /** Null where it cannot be had: then the kernel's RSTs have to do. */
  private openTap(vip: IpAddress): LinkSocket | null {
    const etherType = vip.family === 'IPv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    try {
      return new LinkSocket(EVERY_LINK, { etherType, filter: bareSegmentsTo(vip) });
    } catch (error) {
      const text = `clients whose answers a packet filter drops as invalid will hang: ${errorText(error)}`;
      this.options.log('warn', text, { event: 'takeover_tap', vip: vip.text });
      return null;
    }
  }

  private turn(vip: VipTakeover): void {
    const { run } = vip;
    if (run === null) return;
    try {
      this.answer(vip.service, run);
      for (const { key, round } of run.plan.due(monotonicMs())) {
        this.counts.prompts += 1;
        this.send(run, promptSegment(vip.service, key, round));
      }
    } catch (error) {
      this.end(vip, errorText(error));
      return;
    }
    if (run.plan.isOver(monotonicMs())) this.end(vip, null);
  }

  private answer({ vip, port }: Service, run: Run): void {
    for (let count = 0; run.tap !== null && count < MAX_FRAMES_PER_TURN; count += 1) {
      const bytes = run.tap.receive(this.frame);
      if (bytes === null) return;
      const word = readWord(this.frame.subarray(0, Math.min(bytes, FRAME_BYTES)), { vip, port });
      if (word === null || !run.plan.isWaiting(word.client)) continue;
      run.plan.settle(word.client, word.kind === 'rst' ? 'gone' : 'told');
      // A SYN: a new connection from the same port, to this node, and none of the lost one's.
      if (word.kind === 'ack') this.send(run, resetSegment({ vip, port }, word.client, word.expects));
    }
  }

  /** One client that cannot be reached says nothing about the others. */
  private send(run: Run, packet: Uint8Array): void {
    try {
      run.segments.send(packet);
    } catch (error) {
      this.counts.sendErrors += 1;
      const suppressed = this.limit.take('segment', monotonicMs());
      if (suppressed === null) return;
      this.options.log('warn', `cannot prompt a client: ${errorText(error)}`, {
        event: 'takeover_send',
        suppressed,
      });
    }
  }

  /** `why` is null when all is done. */
  private end(vip: VipTakeover, why: string | null): void {
    const { run } = vip;
    if (run === null) return;
    vip.run = null;
    clearInterval(run.timer);
    run.segments.close();
    run.tap?.close();
    const { fates } = run.plan;
    for (const fate of ['told', 'gone', 'silent'] as const) this.fates[fate] += fates[fate];
    const tookMs = Math.round(monotonicMs() - run.startedMs);
    const text = `of ${run.clients} clients of the lost holder ${fates.told} were told within ${tookMs} ms, ${fates.gone} had no connection any more, ${fates.silent} did not answer`;
    this.options.log('info', why === null ? text : `${text}; ended early: ${why}`, {
      event: 'takeover',
      vip: vip.service.vip.text,
      clients: run.clients,
      ...fates,
    });
  }

  /** Null when the connection is not to a VIP, or the client is none that can be prompted. */
  private endOf({
    client,
    clientPort,
    local,
  }: ClientConnection): { vip: VipTakeover; key: ClientKey } | null {
    const localAddress = parseSocketAddress(local);
    const vip = this.vips.find(({ service }) => service.vip.text === localAddress?.text);
    if (vip === undefined) return null;
    const address = parseSocketAddress(client);
    // Who comes from the VIP itself is on this host, and shares its fate.
    if (address?.text === localAddress?.text) return null;
    if (address === null || address.family !== (vip.service.vip.family satisfies Family)) return null;
    const key = clientKey(address, clientPort);
    return key === null ? null : { vip, key };
  }
}

/** Whether a client has an address of this host, as of now. */
function isOnThisHost(): (key: ClientKey) => boolean {
  const entries = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const own = new Set(
    entries.map(({ address }) => String.fromCharCode(...(parseSocketAddress(address)?.octets ?? []))),
  );
  return (key) => own.has(addressOf(key));
}
