/**
 * The successor's side of a planned handover. The VIP's announcement turns every client to the new Active at once, also
 * those in the middle of a request to the old holder. For a moment this node therefore does not reset the segments of
 * connections that did not begin here: it passes them on, frame by frame, to the old holder, which keeps the address
 * until its clients have got their answers. Every part may fail or be missing: then requests in progress are reset, as
 * at any move of the VIP.
 */
import type { IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import type { Log } from '../../log/log.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, packetFrame } from '../../wire/frames.ts';
import type { LinkFacts } from './link-facts.ts';
import { LinkSocket } from '../../net/link-socket.ts';
import { NetError } from '../../net/net-error.ts';
import { StrayListener } from './stray-listener.ts';
import { segmentsTo } from './tcp-filters.ts';
import { encodeHandoverNotice } from '../handover-notice.ts';
import { packetsToHandOn, readSegment, type Service } from '../segment.ts';
import { StraySegments } from '../stray-segments.ts';

/** The sockets that a shelter works with. */
export type ShelterSockets = {
  /** Throws NetError. */
  readonly strayListener: (
    port: number,
    listeners: number,
    vips: readonly IpAddress[],
  ) => Pick<StrayListener, 'close'>;
  /** Reads and writes the link's frames with TCP segments to the service. Throws NetError. */
  readonly tap: (link: LinkFacts, service: Service) => Pick<LinkSocket, 'receive' | 'send' | 'close'>;
};

export type ShelterOptions = {
  readonly vrid: number;
  readonly services: readonly Service[];
  /** How many sockets of this process listen on the services' port. */
  readonly listeners: number;
  /** The interface that the VIPs are bound on now; null when it is gone, or has no Ethernet address. */
  readonly link: () => LinkFacts | null;
  readonly send: (octets: Uint8Array, peer: IpAddress) => void;
  readonly log: Log;
  /** Those of the kernel unless given. */
  readonly sockets?: ShelterSockets;
};

/** Longer than an Active waits for its successor with the default interval. */
const EXPECTED_MS = 3000;
/** From becoming Active: longer than the old holder keeps connections. */
export const SHELTER_MS = 1400;
const TURN_MS = 1;
const MAX_FRAMES_PER_TURN = 500;
/** Why the kernel does not take a frame now (packet(7), send(2)); the next one may go. */
const NO_ROOM: ReadonlySet<string> = new Set(['ENOBUFS', 'ENOMEM', 'EAGAIN']);
/** A joined segment, with its frame. */
const FRAME_BYTES = 0x1_0000 + 64;

type Tap = {
  readonly service: Service;
  readonly socket: ReturnType<ShelterSockets['tap']>;
  readonly strays: StraySegments;
};

/** A holder that has said that it leaves. */
type Guest = {
  readonly holder: IpAddress;
  readonly holderMac: Uint8Array;
  readonly link: LinkFacts;
  readonly taps: readonly Tap[];
  readonly strayListener: ReturnType<ShelterSockets['strayListener']>;
  deadline: NodeJS.Timeout;
  /** Of a node that has become Active: a Backup gets no segments of clients, and reading costs time. */
  turns: NodeJS.Timeout | null;
};

const KERNEL_SOCKETS: ShelterSockets = {
  strayListener: (port, listeners, vips) => new StrayListener(port, listeners, vips),
  tap: (link, { vip, port }) => {
    const etherType = vip.family === 'IPv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    return new LinkSocket(link, { etherType, filter: segmentsTo(vip, port) });
  },
};

export class Shelter {
  readonly #options: ShelterOptions;
  readonly #sockets: ShelterSockets;
  readonly #frame = new Uint8Array(FRAME_BYTES);
  #guest: Guest | null = null;
  #whenOver: (() => void)[] = [];
  #isClosed = false;

  /** The service's listeners must be open already. */
  constructor(options: ShelterOptions) {
    this.#options = options;
    this.#sockets = options.sockets ?? KERNEL_SOCKETS;
  }

  /** Whether a holder has said that it is leaving, and its clients may still be finishing. */
  get isOpen(): boolean {
    return this.#guest !== null;
  }

  /** The holder says that it will give the VIP up, and where frames reach it. Answers it once this node is prepared. */
  expect(holder: IpAddress, holderMac: Uint8Array): void {
    const link = this.#options.link();
    if (link === null || this.#isClosed) return;
    // A repeated notice costs no new sockets: a flood of them must not keep this thread busy.
    if (this.#guest !== null && isFrom(this.#guest, holder, holderMac)) this.#endIn(this.#guest, EXPECTED_MS);
    else {
      this.#end();
      this.#guest = this.#prepare(holder, holderMac, link);
    }
    if (this.#guest === null) return;
    const { vrid, send } = this.#options;
    send(encodeHandoverNotice({ vrid, step: 'ready', mac: link.mac }), holder);
  }

  /** This node has become Active. Calls `onOver` when clients of the old holder need no shelter, now or later. */
  becameActive(onOver: () => void): void {
    if (this.#guest === null) {
      onOver();
      return;
    }
    this.#whenOver.push(onOver);
    this.#endIn(this.#guest, SHELTER_MS);
    this.#guest.turns ??= setInterval(() => this.#turn(), TURN_MS);
  }

  /** To be called before the service's listeners close: a stray listener alone on the port would have every client. */
  close(): void {
    this.#isClosed = true;
    this.#end();
  }

  /** Null when a socket cannot be opened, which is logged. */
  #prepare(holder: IpAddress, holderMac: Uint8Array, link: LinkFacts): Guest | null {
    const { services, listeners, log } = this.#options;
    const taps: Tap[] = [];
    try {
      for (const service of services)
        taps.push({ service, socket: this.#sockets.tap(link, service), strays: new StraySegments() });
      const vips = services.map(({ vip }) => vip);
      const strayListener = this.#sockets.strayListener(services[0]?.port ?? 0, listeners, vips);
      const deadline = setTimeout(() => this.#end(), EXPECTED_MS);
      return { holder, holderMac, link, taps, strayListener, deadline, turns: null };
    } catch (error) {
      for (const { socket } of taps) socket.close();
      const text = `requests in progress when ${holder.text} hands the VIP over will be reset: ${errorText(error)}`;
      log('warn', text, { event: 'handover_failed' });
      return null;
    }
  }

  #turn(): void {
    if (this.#guest === null) return;
    const { holder, taps } = this.#guest;
    try {
      for (const tap of taps) this.#handOn(this.#guest, tap);
    } catch (error) {
      const text = `stopped passing segments on to ${holder.text}, so requests in progress are reset: ${errorText(error)}`;
      this.#options.log('warn', text, { event: 'handover_failed' });
      this.#end();
    }
  }

  #handOn({ holderMac, link }: Guest, { service, socket, strays }: Tap): void {
    for (let count = 0; count < MAX_FRAMES_PER_TURN; count += 1) {
      const bytes = socket.receive(this.#frame);
      if (bytes === null) return;
      const segment = readSegment(this.#frame.subarray(0, Math.min(bytes, FRAME_BYTES)), service);
      if (segment === null || !strays.isStray(segment)) continue;
      for (const packet of packetsToHandOn(segment, link.mtuBytes))
        sendOrDrop(socket, packetFrame(holderMac, link.mac, packet));
    }
  }

  #endIn(guest: Guest, ms: number): void {
    clearTimeout(guest.deadline);
    guest.deadline = setTimeout(() => this.#end(), ms);
  }

  #end(): void {
    const guest = this.#guest;
    if (guest === null) return;
    this.#guest = null;
    clearTimeout(guest.deadline);
    if (guest.turns !== null) clearInterval(guest.turns);
    guest.strayListener.close();
    for (const { socket } of guest.taps) socket.close();
    this.#logHandedOn(guest);
    const waiting = this.#whenOver;
    this.#whenOver = [];
    for (const onOver of waiting) onOver();
  }

  #logHandedOn({ holder, taps }: Guest): void {
    const segments = taps.reduce((sum, { strays }) => sum + strays.handedOn, 0);
    if (segments === 0) return;
    const text = `passed ${segments} segments of requests in progress on to ${holder.text}, which had handed the VIP over`;
    this.#options.log('info', text, { event: 'handover', from: holder.text, segments });
  }
}

/** A frame that finds the link's queue full is lost, as on any link: TCP repeats it. Throws NetError. */
function sendOrDrop(socket: Tap['socket'], frame: Uint8Array): void {
  try {
    socket.send(frame);
  } catch (error) {
    if (!(error instanceof NetError) || !NO_ROOM.has(error.code)) throw error;
  }
}

function isFrom(guest: Guest, holder: IpAddress, holderMac: Uint8Array): boolean {
  return guest.holder.text === holder.text && Buffer.compare(guest.holderMac, holderMac) === 0;
}
