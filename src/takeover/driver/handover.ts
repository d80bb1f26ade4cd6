/**
 * Lets a planned handover cut no request that is under way. The holder tells its peers beforehand; whoever then becomes
 * Active gets the segments of connections that the old holder still has, because the VIP's announcement turns all
 * clients to it at once. For a moment it does not reset those but hands them on, frame by frame, to the old holder,
 * which keeps the address until its clients have got their answers. Every part may fail or be missing: then requests
 * under way are reset, as at any move of the VIP.
 */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import type { Log } from '../../log/log.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, packetFrame } from '../../wire/frames.ts';
import { type LinkFacts, readLinkFacts } from './link-facts.ts';
import { LinkSocket } from '../../net/link-socket.ts';
import { segmentsTo } from './tcp-filters.ts';
import { StrayListener } from './stray-listener.ts';
import { decodeHandoverNotice, encodeHandoverNotice, type HandoverNotice } from '../handover-notice.ts';
import { packetsToHandOn, readSegment, type Service } from '../segment.ts';
import { StraySegments } from '../stray-segments.ts';

export type HandoverOptions = {
  readonly vrid: number;
  readonly services: readonly Service[];
  readonly peers: readonly IpAddress[];
  readonly interfaceName: string;
  /** How many sockets of this process listen on the service's port. */
  readonly listeners: number;
  readonly send: (octets: Uint8Array, peer: IpAddress) => void;
  readonly log: Log;
};

/** A peer that has not answered by then is not waited for: it may be down. The holder serves meanwhile. */
const READY_MS = 200;
/** Longer than an Active waits for its successor with the default interval. */
const EXPECTED_MS = 3000;
/** From becoming Active: longer than the old holder keeps connections. */
export const SHELTER_MS = 1400;
const TURN_MS = 1;
const MAX_FRAMES_PER_TURN = 500;
/** A joined segment, with its frame. */
const FRAME_BYTES = 0x1_0000 + 64;

type Tap = { readonly service: Service; readonly socket: LinkSocket; readonly strays: StraySegments };

type Shelter = {
  readonly holder: IpAddress;
  readonly holderMac: Uint8Array;
  readonly link: LinkFacts;
  readonly taps: readonly Tap[];
  deadline: NodeJS.Timeout;
  /** Of a node that has become Active: nobody sends segments to another one, and reading costs time. */
  turns: NodeJS.Timeout | null;
};

export class Handover {
  private readonly options: HandoverOptions;
  private readonly frame = new Uint8Array(FRAME_BYTES);
  private readonly strayListener: StrayListener | null;
  private interfaceName: string;
  private shelter: Shelter | null = null;
  private whenOver: (() => void)[] = [];
  /** Resolves the announcement under way, and whose answer it waits for. */
  private unready = new Map<string, () => void>();

  /** The service's listeners must be open already. */
  constructor(options: HandoverOptions) {
    this.options = options;
    this.interfaceName = options.interfaceName;
    this.strayListener = this.openStrayListener();
  }

  /** VIPs are on this interface from now on: it has another name, or another one has their subnet. */
  useInterface(name: string): void {
    this.interfaceName = name;
  }

  /**
   * Tells all peers that this node will give the VIP up, and waits until they are prepared, for READY_MS at most: the log
   * names those that are not. Never rejects.
   */
  async announce(): Promise<void> {
    const { peers, send, log } = this.options;
    const notice = this.noticeOf('leaving');
    if (notice === null) return;
    const answers = peers.map(
      (peer) =>
        new Promise<void>((resolve) => {
          this.unready.set(peer.text, resolve);
        }),
    );
    for (const peer of peers) send(notice, peer);
    let timer: NodeJS.Timeout | null = null;
    const tooLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, READY_MS);
    });
    await Promise.race([Promise.all(answers), tooLate]);
    if (timer !== null) clearTimeout(timer);
    if (this.unready.size > 0) {
      const late = [...this.unready.keys()];
      const text = `${late.join(' and ')} did not say within ${READY_MS} ms to be prepared: requests under way are reset if it takes over`;
      log('info', text, { event: 'handover_unprepared', peers: late });
    }
    this.unready.clear();
  }

  /** Takes a datagram of a peer; false when it is none of these notices in the right form, or not for an Active. */
  accept(octets: Uint8Array, peer: IpAddress, mayFollow: boolean): boolean {
    const notice = decodeHandoverNotice(octets, this.options.vrid);
    if (notice === null || (notice.step === 'leaving' && !mayFollow)) return false;
    if (notice.step === 'leaving') this.expect(notice, peer);
    else this.becamePrepared(peer);
    return true;
  }

  /** Whether a holder has said that it is leaving, and its clients may still be finishing. */
  get isSheltering(): boolean {
    return this.shelter !== null;
  }

  /** This node has become Active. Calls `onOver` when clients of the old holder need no shelter, now or later. */
  becameActive(onOver: () => void): void {
    if (this.shelter === null) {
      onOver();
      return;
    }
    this.whenOver.push(onOver);
    this.endIn(this.shelter, SHELTER_MS);
    this.shelter.turns ??= setInterval(() => this.turn(), TURN_MS);
  }

  /** To be called before the service's listeners close. */
  close(): void {
    this.end();
    this.strayListener?.close();
  }

  private becamePrepared(peer: IpAddress): void {
    this.unready.get(peer.text)?.();
    this.unready.delete(peer.text);
  }

  private openStrayListener(): StrayListener | null {
    const { services, listeners, log } = this.options;
    try {
      return new StrayListener(services[0]?.port ?? 0, listeners);
    } catch (error) {
      const text = `requests that are under way when another node hands the VIP over to this one will be reset: ${errorText(error)}`;
      log('warn', text, { event: 'handover_listener' });
      return null;
    }
  }

  private noticeOf(step: HandoverNotice['step']): Uint8Array | null {
    const link = readLinkFacts(this.interfaceName);
    return link === null ? null : encodeHandoverNotice({ vrid: this.options.vrid, step, mac: link.mac });
  }

  /** Prepares to become the successor of this peer. */
  private expect({ mac }: HandoverNotice, peer: IpAddress): void {
    const { send, log } = this.options;
    const ready = this.noticeOf('ready');
    if (this.strayListener === null || ready === null) return;
    const { shelter } = this;
    // Said again, it costs no new sockets: a flood of notices must not keep this thread busy.
    if (
      shelter !== null &&
      shelter.holder.text === peer.text &&
      Buffer.compare(shelter.holderMac, mac) === 0
    ) {
      this.endIn(shelter, EXPECTED_MS);
      send(ready, peer);
      return;
    }
    this.end();
    const link = readLinkFacts(this.interfaceName);
    if (link === null) return;
    const taps: Tap[] = [];
    try {
      for (const service of this.options.services) taps.push(openTap(service, link));
      this.strayListener.silence();
    } catch (error) {
      for (const { socket } of taps) socket.close();
      const text = `requests that are under way when ${peer.text} hands the VIP over will be reset: ${errorText(error)}`;
      log('warn', text, { event: 'handover_failed' });
      return;
    }
    this.shelter = {
      holder: peer,
      holderMac: mac,
      link,
      taps,
      deadline: setTimeout(() => this.end(), EXPECTED_MS),
      turns: null,
    };
    send(ready, peer);
  }

  private turn(): void {
    const { shelter } = this;
    if (shelter === null) return;
    try {
      for (const tap of shelter.taps) this.handOn(shelter, tap);
    } catch (error) {
      this.options.log('warn', `stopped to hand segments on to ${shelter.holder.text}: ${errorText(error)}`, {
        event: 'handover_failed',
      });
      this.end();
    }
  }

  private handOn({ holderMac, link }: Shelter, { service, socket, strays }: Tap): void {
    for (let count = 0; count < MAX_FRAMES_PER_TURN; count += 1) {
      const bytes = socket.receive(this.frame);
      if (bytes === null) return;
      const segment = readSegment(this.frame.subarray(0, Math.min(bytes, FRAME_BYTES)), service);
      if (segment === null || !strays.isStray(segment)) continue;
      for (const packet of packetsToHandOn(segment, link.mtuBytes))
        socket.send(packetFrame(holderMac, link.mac, packet));
    }
  }

  private endIn(shelter: Shelter, ms: number): void {
    clearTimeout(shelter.deadline);
    shelter.deadline = setTimeout(() => this.end(), ms);
  }

  private end(): void {
    const { shelter } = this;
    if (shelter === null) return;
    this.shelter = null;
    clearTimeout(shelter.deadline);
    if (shelter.turns !== null) clearInterval(shelter.turns);
    this.strayListener?.speak();
    const handedOn = shelter.taps.reduce((sum, { strays }) => sum + strays.handedOn, 0);
    for (const { socket } of shelter.taps) socket.close();
    if (handedOn > 0) {
      const text = `handed ${handedOn} segments of requests that were under way on to ${shelter.holder.text}, which had handed the VIP over`;
      this.options.log('info', text, { event: 'handover', from: shelter.holder.text, segments: handedOn });
    }
    const waiting = this.whenOver;
    this.whenOver = [];
    for (const onOver of waiting) onOver();
  }
}

function openTap(service: Service, link: LinkFacts): Tap {
  const etherType = service.vip.family === 'IPv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
  const filter = segmentsTo(service.vip, service.port);
  return { service, socket: new LinkSocket(link, { etherType, filter }), strays: new StraySegments() };
}
