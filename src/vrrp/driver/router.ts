/**
 * One VirtualRouter on this host's interface: when its sockets are open, its timer, its log and its counters. Sockets,
 * kernel and clock are options: the daemon's are real, the simulator's are its own.
 */
import type { Family, IpAddress } from '../../ip/address.ts';
import { errorText } from '../../log/error-text.ts';
import { LogLimit } from '../../log/log-limit.ts';
import type { Log } from '../../log/log.ts';
import type { Authentication } from '../advertisement.ts';
import type { ChecksumForm } from '../checksum.ts';
import type { Cause, Notice, RouterEvent, StateName } from '../events.ts';
import { VRRP_GROUP } from '../group.ts';
import { OutgoingAdvertisements } from '../outgoing.ts';
import { classOfPriority } from '../priority.ts';
import type { VirtualRouter } from '../virtual-router.ts';
import { Conflicts } from './conflicts.ts';
import { type RouterCounters, createRouterCounters } from './counters.ts';
import { KernelLease, type LeaseCalls } from './kernel-lease.ts';
import { observeDuration } from './durations.ts';
import { Performer } from './performer.ts';
import { Receiver } from './receiver.ts';
import { Reopening } from './reopening.ts';
import type { RouterClock } from './router-clock.ts';
import type { OpenRouterSockets, RouterLink, RouterSockets } from './router-sockets.ts';
import { Successor } from './successor.ts';
import { UnreadPackets } from './unread-packets.ts';
import type { VrrpDatagram } from './vrrp-socket.ts';

export type RouterOptions = {
  readonly vrid: number;
  readonly vip: IpAddress;
  readonly core: VirtualRouter;
  readonly authentication: Authentication;
  readonly checksumForm: ChecksumForm;
  /** What this node and the others of the group send from, in this address family; empty where that is not known. */
  readonly senders: readonly IpAddress[];
  /** True: advertisements go to each of the senders by itself; false: to the multicast group. */
  readonly unicast: boolean;
  /** Binds, renews and removes the address in the kernel. */
  readonly leaseCalls: LeaseCalls;
  /** Whether the host has the VIP now. Must not wait for the kernel's configuration lock (rtnl). */
  readonly isPresent: () => boolean;
  readonly openSockets: OpenRouterSockets;
  readonly clock: RouterClock;
  readonly log: Log;
  /**
   * Called when the address is about to be removed, for what can only be done while the kernel still has it, such as
   * to reset its connections; with `handedOver` to finish first those that are being used. Must call `onEnd` soon:
   * until then two nodes may have the address.
   */
  readonly closeVip: (handedOver: boolean, onEnd: () => void) => void;
  /** Called after every change of state, and of who is heard as Active. */
  readonly onChange: () => void;
  /** Nobody took the address from this router, so that it keeps it and is no longer drained. */
  readonly onDrainFailed: () => void;
  /** This router takes over from an Active that fell silent: its host is most likely lost, with all that ran there. */
  readonly onLost: (active: IpAddress) => void;
};

export type RouterSnapshot = {
  readonly vrid: number;
  readonly family: Family;
  readonly version: 2 | 3;
  readonly vip: string;
  readonly state: StateName;
  /** The address is, or may still be, on the interface. */
  readonly bound: boolean;
  readonly drained: boolean;
  /** What it stands for election with; 0 while it is drained, and once it gives the address up. */
  readonly priority: number;
  readonly sinceIso: string;
  readonly cause: string;
  readonly active: { readonly address: string; readonly priority: number } | null;
  readonly counters: RouterCounters;
};

type Attachment = {
  readonly link: RouterLink;
  readonly outgoing: OutgoingAdvertisements;
  readonly sockets: RouterSockets;
};

/** What others can make us log: a line per kind and sender each minute. */
const LOG_PERIOD_MS = 60_000;
const LOG_KEYS = 64;
/** A suspension takes longer; whatever does not is no longer than an advertisement may be late. */
const SUSPENSION_MS = 50;
/** Twice an advertisement interval: over before an Active_Down_Interval is. */
const ASKS = 6;

export class Router {
  readonly options: RouterOptions;
  readonly counters = createRouterCounters();
  readonly #core: VirtualRouter;
  readonly #performer: Performer;
  readonly #lease: KernelLease;
  readonly #receiver: Receiver;
  readonly #conflicts: Conflicts;
  readonly #unread: UnreadPackets;
  readonly #reopening = new Reopening();
  readonly #logLimit = new LogLimit(LOG_PERIOD_MS, LOG_KEYS);
  /** The interface that it should use, whether or not its sockets are open at the moment. */
  #wanted: RouterLink | null = null;
  #attachment: Attachment | null = null;
  /** Prevents the next try to open the sockets. */
  #stopReopening: (() => void) | null = null;
  /** Prevents the next question for the hardware addresses of peers. */
  #stopAsking: (() => void) | null = null;
  #since: Date;
  #cause: Cause = { kind: 'started', text: 'not started' };
  #isStopping = false;
  #whenStopped: (() => void) | null = null;
  /** The node that this one has handed over to last. */
  #successor: Successor | null = null;
  #suspendedMs: number;
  /** The Active that was heard as of the last step. */
  #heardText: string | null = null;

  constructor(options: RouterOptions) {
    const { clock, core } = options;
    const nowMs = (): number => clock.nowMs();
    this.options = options;
    this.#core = core;
    this.#since = clock.date();
    this.#receiver = new Receiver({
      vrid: options.vrid,
      version: core.options.version,
      advertisementIntervalMs: core.options.advertisementIntervalMs,
      vip: options.vip,
      priorities: core.options.priorities,
      authentication: options.authentication,
      senders: options.senders,
      counters: this.counters,
      log: this.#log,
      nowMs,
    });
    this.#conflicts = new Conflicts({
      vip: options.vip,
      counters: this.counters,
      log: this.#log,
      nowMs,
      holds: () => this.#isActiveStill(),
      defend: () => this.give({ type: 'addressClaimed' }),
    });
    this.#unread = new UnreadPackets(this.counters, this.#log);
    this.#lease = new KernelLease({
      vip: options.vip,
      clock,
      calls: options.leaseCalls,
      isPresent: options.isPresent,
      counters: this.counters,
      log: this.#log,
      closeVip: (handedOver, onEnd) => this.#closeVip(handedOver, onEnd),
      link: () => this.#attachment?.link ?? null,
    });
    this.#suspendedMs = clock.suspendedMs();
    this.#performer = this.#createPerformer();
  }

  /** Whether the address should be on the interface. */
  get leased(): boolean {
    return this.#performer.leased;
  }

  /** It has given the address up, which is about to leave the kernel. */
  get releasing(): boolean {
    return this.#performer.releasing;
  }

  /** The interface that it uses; null while there is none. */
  get link(): RouterLink | null {
    return this.#wanted;
  }

  get isDrained(): boolean {
    return this.#core.drained;
  }

  get isActive(): boolean {
    return this.#core.stateName === 'Active';
  }

  /** When the core wants to be served next. */
  get deadlineMs(): number {
    return this.#core.deadlineMs;
  }

  /**
   * The interface can be used: opens the sockets, again and again where that fails, and takes part. A router that has
   * been told to stop does nothing: the removal of its own VIP is a change of the interface, too.
   */
  attach(link: RouterLink): void {
    if (this.#isStopping) return;
    this.#stopReopening?.();
    // An Active that was waiting for a successor on another interface has its address there.
    if (this.isActive && this.#attachment?.link.index !== link.index)
      this.give({ type: 'linkDown', text: `the VIP's subnet is on ${link.name} now` });
    this.#closeSockets();
    this.#wanted = link;
    this.#receiver.begin(link.source);
    try {
      this.#attachment = this.#open(link);
    } catch (error) {
      this.#onSocketError(error);
      return;
    }
    if (this.isActive) this.#conflicts.watch(this.#attachment.sockets);
    this.#askForPeers(this.#attachment, ASKS);
    this.give({ type: 'linkUp', primary: link.source });
  }

  /**
   * The same interface under another name or with another hardware address, as bonds have it: what is open stays, and
   * an Active announces the VIP anew.
   */
  adopt(link: RouterLink): void {
    const attachment = this.#attachment;
    if (attachment === null || this.#isStopping) {
      this.attach(link);
      return;
    }
    this.#wanted = link;
    try {
      attachment.sockets.adopt(link);
    } catch (error) {
      this.#onSocketError(error);
      return;
    }
    this.#attachment = { ...attachment, link };
    if (this.isActive) this.#conflicts.watch(attachment.sockets);
    this.give({ type: 'linkAddressChanged' });
  }

  /**
   * The interface went away or down; `text` says how, for the log. With `handover` it still works and has only lost the
   * address that this router sends from: an Active keeps its sockets until a successor has taken over.
   */
  detach(text: string, handover = false): void {
    this.#wanted = null;
    this.#stopReopening?.();
    if (handover && this.#attachment !== null) this.give({ type: 'linkDown', text, handover: true });
    if (!handover || !this.isActive) this.#leaveLink(text);
  }

  /** Hands one event to the core and does what it says. */
  give(event: RouterEvent): void {
    this.#noteSuspension();
    this.#performer.give(event);
  }

  /**
   * Leaves the election; with `handover`, an Active first waits for its successor, for a bounded time. `onStopped` is
   * called once, when the address has been removed or is left to its lifetime and everything is closed.
   */
  shutdown(handover: boolean, text: string, onStopped: () => void): void {
    this.#isStopping = true;
    this.#whenStopped = onStopped;
    this.give({ type: 'shutdown', handover, text });
    this.#endIfStopped();
  }

  /** The address is gone from a link, and this router has not removed it. Whether that is news only the core knows. */
  onAddressGone(linkIndex: number, address: IpAddress): void {
    if (address.text !== this.options.vip.text) return;
    if (this.#attachment?.link.index !== linkIndex) return;
    this.give({ type: 'addressLost', text: this.#lease.describeRemoval(this.#attachment.link.name) });
  }

  /** What it is and has counted now. To be called each few seconds, as it counts what the kernel drops. */
  snapshot(): RouterSnapshot {
    this.#lookForUnread();
    const heard = this.#core.heardActive;
    return {
      vrid: this.options.vrid,
      family: this.options.vip.family,
      version: this.#core.options.version,
      vip: this.options.vip.text,
      state: this.#core.stateName,
      bound: this.#performer.leased || this.#performer.releasing,
      drained: this.#core.drained,
      priority: this.#core.stateName !== 'Active' && this.#core.drained ? 0 : this.#core.priority,
      sinceIso: this.#since.toISOString(),
      cause: this.#cause.text,
      active: heard === null ? null : { address: heard.address.text, priority: heard.priority },
      counters: this.counters,
    };
  }

  /** Steps down first when this node was frozen for too long, and has not been served since. */
  #isActiveStill(): boolean {
    this.give({ type: 'tick' });
    return this.isActive;
  }

  #createPerformer(): Performer {
    return new Performer({
      core: this.#core,
      clock: {
        nowMs: () => this.options.clock.nowMs(),
        startTimer: (delayMs, onTime) => this.#startTimer(delayMs, onTime),
      },
      sockets: {
        sendAdvertisement: (priority, intervalMs) => this.#send(priority, intervalMs),
        announce: () => this.#announce(),
        readQueued: () => this.#read((sockets) => sockets.readQueued()),
        discardQueued: () =>
          this.#read((sockets) => {
            this.counters.discardedAfterStall += sockets.discardQueued();
          }),
      },
      lease: this.#lease,
      observer: {
        transition: (from, to, cause) => this.#onTransition(from, to, cause),
        notice: (notice, text) => this.#onNotice(notice, text),
        stepped: (from) => this.#onStepped(from),
        released: () => this.#endIfStopped(),
      },
    });
  }

  #open(link: RouterLink): Attachment {
    const { openSockets, vip, unicast, clock } = this.options;
    const sockets = openSockets({
      family: vip.family,
      link,
      multicast: !unicast,
      expected: this.#receiver.expected,
      onDatagram: (datagram) => this.#onDatagram(datagram),
      onError: (error) => this.#onSocketError(error),
    });
    this.#unread.begin();
    this.#reopening.opened(clock.nowMs());
    return { link, outgoing: this.#outgoingFrom(link.source), sockets };
  }

  #outgoingFrom(source: IpAddress): OutgoingAdvertisements {
    const { vrid, vip, core, authentication, checksumForm, unicast, senders } = this.options;
    return new OutgoingAdvertisements({
      version: core.options.version,
      vrid,
      addresses: [vip],
      authentication,
      checksumForm,
      source,
      destinations: unicast ? senders : [VRRP_GROUP[vip.family]],
    });
  }

  /**
   * While this link was down, an Active that sends unicast may have lost this node's hardware address, and its kernel
   * asks for it but once a second: longer than an Active_Down_Interval may be. Asked for its own, it learns ours. Asked
   * again until it is heard, because the switch may not forward from the first moment on.
   */
  #askForPeers({ sockets, outgoing }: Attachment, times: number): void {
    const attachment = this.#attachment;
    const core = this.#core;
    if (!this.options.unicast || attachment?.sockets !== sockets) return;
    if (core.heardActive !== null || core.stateName === 'Active') return;
    for (const peer of outgoing.destinations) {
      try {
        sockets.ask(peer);
      } catch (error) {
        this.#onSendError(peer, error);
      }
    }
    if (times === 1) return;
    const pauseMs = Math.ceil(core.options.advertisementIntervalMs / 2);
    this.#stopAsking = this.options.clock.startTimer(pauseMs, () => this.#askForPeers(attachment, times - 1));
  }

  #onSocketError(error: unknown): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    const { clock } = this.options;
    const nowMs = clock.nowMs();
    const delayMs = this.#reopening.failed(nowMs);
    const text = `the VRRP socket on ${wanted.name} failed: ${errorText(error)}`;
    const suppressed = this.#logLimit.take(`socket ${wanted.name}`, nowMs);
    if (suppressed !== null)
      this.#log('error', `${text}; opening it again in ${delayMs} ms`, { event: 'socket_error', suppressed });
    this.#leaveLink(text);
    this.#stopReopening?.();
    this.#stopReopening = clock.startTimer(delayMs, () => this.attach(wanted));
  }

  #leaveLink(text: string): void {
    if (this.#attachment !== null) this.give({ type: 'linkDown', text });
    this.#closeSockets();
  }

  #lookForUnread(): void {
    if (this.#attachment === null) return;
    const { sockets, link } = this.#attachment;
    this.#unread.look(sockets, link.name, this.options.clock.nowMs());
  }

  #closeSockets(): void {
    this.#lookForUnread();
    this.#stopAsking?.();
    this.#attachment?.sockets.close();
    this.#attachment = null;
  }

  #startTimer(delayMs: number, onTime: () => void): () => void {
    const { clock } = this.options;
    return clock.startTimer(delayMs, () => {
      const lateMs = clock.nowMs() - this.#core.advertisementDueMs;
      if (lateMs >= 0) observeDuration(this.counters.lateness, lateMs);
      this.#noteSuspension();
      onTime();
    });
  }

  #noteSuspension(): void {
    const suspendedMs = this.options.clock.suspendedMs();
    const forMs = suspendedMs - this.#suspendedMs;
    // Both of its clocks are read one after the other.
    if (forMs < SUSPENSION_MS) return;
    this.#suspendedMs = suspendedMs;
    this.#performer.give({ type: 'suspended', forMs });
  }

  #read(from: (sockets: RouterSockets) => void): void {
    if (this.#attachment === null) return;
    try {
      from(this.#attachment.sockets);
    } catch (error) {
      this.#onSocketError(error);
    }
  }

  #endIfStopped(): void {
    if (this.#whenStopped === null || this.#core.stateName !== 'Initialize' || this.#performer.releasing)
      return;
    const whenStopped = this.#whenStopped;
    this.#whenStopped = null;
    this.#wanted = null;
    this.#stopReopening?.();
    this.#closeSockets();
    this.#performer.close();
    whenStopped();
  }

  #onDatagram(datagram: VrrpDatagram): void {
    if (this.#attachment === null) return;
    const advertisement = this.#receiver.receive(datagram);
    if (advertisement === null) return;
    if (this.#core.stateName === 'Active') this.#conflicts.onOtherActive();
    const { isActive } = this;
    const nowMs = this.options.clock.nowMs();
    this.give({ type: 'advertisement', advertisement, source: datagram.source });
    if (isActive && !this.isActive && this.#cause.kind === 'handed_over')
      this.#successor = new Successor(datagram.source, nowMs);
    else if (advertisement.priority > 0)
      this.#successor?.hear(datagram.source, advertisement.advertisementIntervalMs, nowMs);
  }

  /** Closes the connections on the VIP, and after a handover not before the successor can serve them. */
  #closeVip(handedOver: boolean, onEnd: () => void): void {
    const { closeVip, clock } = this.options;
    const close = (): void => closeVip(handedOver, onEnd);
    if (handedOver && this.#successor !== null) this.#successor.whenBound(clock, close);
    else close();
  }

  #onStepped(from: StateName): void {
    const heard = this.#core.heardActive;
    const heardText = heard === null ? null : `${heard.address.text} ${classOfPriority(heard.priority)}`;
    if (this.#core.stateName === from && heardText === this.#heardText) return;
    this.#heardText = heardText;
    this.options.onChange();
    if (this.#core.stateName !== 'Initialize') return;
    // The link that it had lost was kept open for a successor.
    if (this.#wanted === null) this.#closeSockets();
    this.#endIfStopped();
  }

  #onNotice(notice: Notice, text: string): void {
    if (notice === 'two_actives') this.#conflicts.onTwoActives(text);
    else if (notice === 'renewal_failed') this.#onRenewalFailed(text);
    else this.#log('warn', text, { event: notice });
    if (notice === 'drain_failed') this.options.onDrainFailed();
  }

  #onRenewalFailed(text: string): void {
    const suppressed = this.#logLimit.take('renewal', this.options.clock.nowMs());
    if (suppressed !== null) this.#log('warn', text, { event: 'renewal_failed', suppressed });
  }

  #onTransition(from: StateName, to: StateName, cause: Cause): void {
    this.#since = this.options.clock.date();
    this.#cause = cause;
    this.counters.transitions[cause.kind] += 1;
    if (to === 'Active' && cause.silent !== undefined) this.options.onLost(cause.silent);
    this.#conflicts.watch(to === 'Active' ? (this.#attachment?.sockets ?? null) : null);
    this.#log('info', `${from} -> ${to}: ${cause.text}`, {
      event: 'transition',
      from,
      to,
      cause: cause.kind,
    });
  }

  #send(priority: number, intervalMs: number): void {
    const attachment = this.#attachment;
    if (attachment === null) return;
    const { sockets, outgoing } = attachment;
    for (const destination of outgoing.destinations) {
      try {
        sockets.send(outgoing.message(priority, intervalMs, destination), destination);
        this.counters.sent += 1;
      } catch (error) {
        this.#onSendError(destination, error);
      }
    }
  }

  #onSendError(destination: IpAddress, error: unknown): void {
    this.counters.sendErrors += 1;
    const suppressed = this.#logLimit.take(`send ${destination.text}`, this.options.clock.nowMs());
    if (suppressed === null) return;
    this.#log('warn', `cannot send to ${destination.text}: ${errorText(error)}`, {
      event: 'send_error',
      suppressed,
    });
  }

  #announce(): void {
    const { vip } = this.options;
    try {
      if (this.#attachment?.sockets.announce(vip) === true) this.counters.announcements += 1;
    } catch (error) {
      this.#onSendError(vip, error);
    }
  }

  readonly #log: Log = (level, message, fields = {}) => {
    const { vrid, vip } = this.options;
    this.options.log(level, message, { ...fields, vrid, family: vip.family, vip: vip.text });
  };
}
