/**
 * The VRRP state machine (RFC 9568 6.4, RFC 3768 6.4) as a pure core: `step(event, now)` changes the state and returns
 * what to do, in the order in which to do it. It reads no clock, opens no socket and logs nothing. Its deadlines are
 * data (`deadlineMs`), so a late, early or repeated `tick` is harmless. All times are monotonic milliseconds.
 *
 * Where it departs from the RFC, on purpose:
 * - a router of health class C never takes the addresses (docs: "Who holds the VIP");
 * - priority 0 counts once, however often a resigning Active repeats it, and not beside an Active that goes on;
 * - on a graceful stop it keeps the addresses until a successor is heard, so that there is no gap;
 * - an Active that has been silent for longer than its Active_Down_Interval steps down by itself, if there is a peer;
 * - one that is late, because its node is busy, advertises a longer interval than it keeps;
 * - packets carry the interface's own MAC address, as keepalived's do by default.
 */
import { type IpAddress, compareIp } from '../ip/address.ts';
import type { Advertisement } from './advertisement.ts';
import { Announcements } from './announcements.ts';
import type { Action, Cause, HeardActive, RouterEvent, StateName, VirtualRouterOptions } from './events.ts';
import { ActiveDownTimer, CALM_MS, Pace, activeDownIntervalMs } from './intervals.ts';
import { HOLD_OFF_MS, LEASE_RENEWAL_MS, Lease, MAX_REPAIRS, RENEWALS } from './lease.ts';
import { Preemption } from './preemption.ts';
import type { HealthClass } from '../node/health-class.ts';
import { Rivalry } from './rivalry.ts';

/** A stopping Active waits this long beyond two intervals for its successor. */
const HANDOVER_GRACE_MS = 500;

/** Whoever stops the daemon kills it after a while: a kubelet after 30 s, by our static pod. */
const MAX_SHUTDOWN_WAIT_MS = 20_000;

type Resignation = {
  readonly deadlineMs: number;
  /** `forcedDrain` gives the addresses up at the deadline even if nobody has taken them; `drain` keeps them. */
  readonly reason: 'shutdown' | 'drain' | 'forcedDrain' | 'linkDown';
  readonly text: string;
};

type BackupState = {
  readonly name: 'Backup';
  readonly sinceMs: number;
  readonly timer: ActiveDownTimer;
  /** Why the timer would fire, when that is not silence. */
  takeover: Cause | null;
  /** The timer has fired since an Active was last heard, and this router could not take over. */
  isWithoutActive: boolean;
};

type ActiveState = {
  readonly name: 'Active';
  readonly sinceMs: number;
  sentAtMs: number;
  /** What the last advertisement said, by which Backups go. */
  sentIntervalMs: number;
  adverAtMs: number;
  readonly lease: Lease;
  readonly announcements: Announcements;
  resignation: Resignation | null;
  /** The Active before gave up, and keeps the addresses until it knows that this one has them. */
  readonly isSuccessor: boolean;
};

type AddressEvent = Extract<
  RouterEvent,
  {
    readonly type:
      | 'addressLost'
      | 'addressClaimed'
      | 'bound'
      | 'bindFailed'
      | 'renewalFailed'
      | 'leaseOverdue';
  }
>;

type State = { readonly name: 'Initialize' } | BackupState | ActiveState;

/** One virtual router of one address family. */
export class VirtualRouter {
  readonly options: VirtualRouterOptions;
  private state: State = { name: 'Initialize' };
  private started = false;
  #primary: IpAddress | null = null;
  #healthClass: HealthClass = 'C';
  #healthConfirmedAtMs = 0;
  private isDrained = false;
  private holdOffUntilMs = 0;
  /** No other router can be Active: there is no peer, and none has been heard. */
  #isAlone: boolean;
  #aloneNoticeDueMs = -Infinity;
  /** A bind or a renewal is overdue: until it is answered, this node could not bind the addresses either. */
  #awaitsKernel = false;
  /**
   * The Active that a Backup heard last; an Active has none, as one that it outranks may be long gone when it leaves.
   */
  #heard: HeardActive | null = null;
  readonly #preemption: Preemption;
  readonly #pace: Pace;
  readonly #rivalry = new Rivalry();

  constructor(options: VirtualRouterOptions) {
    this.options = options;
    this.#preemption = new Preemption(options);
    this.#pace = new Pace(options.version, options.advertisementIntervalMs);
    this.#isAlone = options.isAlone;
  }

  get stateName(): StateName {
    return this.state.name;
  }

  /** What an advertisement says now, 1-254; 0 while resigning. */
  get priority(): number {
    if (this.state.name === 'Active' && this.state.resignation !== null) return 0;
    return this.#ownPriority;
  }

  get drained(): boolean {
    return this.isDrained;
  }

  /** The other router that is Active; null while this one is, and when no Active is heard, or none any longer. */
  get heardActive(): HeardActive | null {
    return this.state.name === 'Backup' && !this.state.isWithoutActive ? this.#heard : null;
  }

  /** When `tick` is due; Infinity while nothing is. */
  get deadlineMs(): number {
    const { state } = this;
    switch (state.name) {
      case 'Initialize':
        return Infinity;
      case 'Backup':
        return state.timer.dueMs;
      case 'Active':
        return Math.min(
          state.adverAtMs,
          state.lease.dueMs,
          state.announcements.dueMs,
          state.resignation?.deadlineMs ?? Infinity,
        );
    }
  }

  /** When an Active's next advertisement is due; Infinity in the other states. */
  get advertisementDueMs(): number {
    return this.state.name === 'Active' ? this.state.adverAtMs : Infinity;
  }

  /** Takes one event at `nowMs` (never less than before) and returns what to do, in order. */
  step(event: RouterEvent, nowMs: number): Action[] {
    const actions: Action[] = [];
    if (event.type === 'suspended') {
      this.#onSuspended(event.forMs, nowMs, actions);
      return actions;
    }
    if (event.type === 'advertisement') this.#isAlone = false;
    const late = this.state.name === 'Active' ? this.#noteLateness(this.state, nowMs) : null;
    const isStalled = this.state.name === 'Active' && this.stepDownIfStalled(this.state, nowMs, actions);
    // After a stall a packet is as old as that.
    if (!isStalled || event.type !== 'advertisement') this.#take(event, nowMs, actions);
    if (late !== null) actions.push(late);
    return actions;
  }

  #take(event: Exclude<RouterEvent, { readonly type: 'suspended' }>, nowMs: number, actions: Action[]): void {
    switch (event.type) {
      case 'startup':
        this.started = true;
        this.#enterIfReady({ kind: 'started', text: 'started' }, nowMs, actions);
        break;
      case 'linkUp':
        this.#primary = event.primary;
        this.#cancelDeparture(nowMs, actions);
        this.#enterIfReady({ kind: 'link_up', text: 'the interface is up' }, nowMs, actions);
        break;
      case 'linkDown':
        this.#onLinkDown(event, nowMs, actions);
        break;
      case 'shutdown':
        this.#onShutdown(event, nowMs, actions);
        break;
      case 'drain':
        this.#onDrain(event.force, nowMs, actions);
        break;
      case 'undrain':
        this.#onUndrain(nowMs, actions);
        break;
      case 'health':
        this.#onHealth(event.class, event.confirmedAtMs, nowMs, actions);
        break;
      case 'advertisement':
        this.#onAdvertisement(event.advertisement, event.source, nowMs, actions);
        break;
      case 'addressLost':
      case 'addressClaimed':
      case 'bound':
      case 'bindFailed':
      case 'renewalFailed':
      case 'leaseOverdue':
        if (this.state.name === 'Active') this.#onAddressEvent(this.state, event, nowMs, actions);
        break;
      case 'leaseAnswered':
        this.#awaitsKernel = false;
        break;
      case 'linkAddressChanged':
        if (this.state.name === 'Active') this.state.announcements.beginAnew(nowMs);
        break;
      case 'tick':
        this.#onTick(nowMs, actions);
        break;
    }
  }

  /** What is new to say of an Active that has been late; null when there is nothing. */
  #noteLateness(state: ActiveState, nowMs: number): Action | null {
    const silentMs = nowMs - state.sentAtMs;
    if (this.#isAlone) return this.#noteLatenessAlone(state, silentMs, nowMs);
    if (!this.#pace.note(silentMs, nowMs)) return null;
    const text = `sent nothing for ${Math.round(silentMs)} ms, as this node is busy: it asks the others for more patience until it has been in time for a while`;
    return { type: 'notice', notice: 'late', text };
  }

  /** Where no other router can be Active, nobody waits for this one, and a stall costs no more than its length. */
  #noteLatenessAlone(state: ActiveState, silentMs: number, nowMs: number): Action | null {
    if (silentMs <= this.#ownActiveDownMs(state.sentIntervalMs)) return null;
    // The kernel may have taken the address away meanwhile.
    state.announcements.beginAnew(nowMs);
    if (nowMs < this.#aloneNoticeDueMs) return null;
    this.#aloneNoticeDueMs = nowMs + CALM_MS;
    const text = `sent nothing for ${Math.round(silentMs)} ms, as this node is busy or was frozen: it keeps the addresses, as there is no other node to take them`;
    return { type: 'notice', notice: 'late', text };
  }

  /** RFC 9568 6.4.1, for a router that is not the owner: wait one Active_Down_Interval before anything else. */
  #enterIfReady(cause: Cause, nowMs: number, actions: Action[]): void {
    if (!this.started || this.#primary === null || this.state.name !== 'Initialize') return;
    this.#enterBackup(cause, nowMs, actions);
  }

  /** `intervalMs`: Active_Adver_Interval, of the Active that was heard just now; without one it is the own interval. */
  #enterBackup(
    cause: Cause,
    nowMs: number,
    actions: Action[],
    intervalMs = this.options.advertisementIntervalMs,
  ): void {
    const from = this.state.name;
    this.#preemption.reset();
    this.state = {
      name: 'Backup',
      sinceMs: nowMs,
      timer: new ActiveDownTimer(this.options.version, intervalMs, this.#ownPriority, nowMs),
      takeover: null,
      isWithoutActive: false,
    };
    actions.push({ type: 'transition', from, to: 'Backup', cause });
  }

  /**
   * Out of Active or Backup; the addresses go first, so that no moment has them bound outside Active. A router that is
   * to stop, or whose link cannot be used, never goes on as Backup, whatever made it leave.
   */
  #leave(
    to: 'Backup' | 'Initialize',
    cause: Cause,
    nowMs: number,
    actions: Action[],
    intervalMs?: number,
  ): void {
    const from = this.state.name;
    if (from === 'Active')
      actions.push({ type: 'unbind', handedOver: cause.kind === 'handed_over' && this.#primary !== null });
    if (to === 'Backup' && this.started && this.#primary !== null) {
      this.#enterBackup(cause, nowMs, actions, intervalMs);
      return;
    }
    this.state = { name: 'Initialize' };
    actions.push({ type: 'transition', from, to: 'Initialize', cause });
  }

  /** RFC 9568 6.4.2, Active_Down_Timer fired: send, bind, announce. */
  #promote(cause: Cause, nowMs: number, actions: Action[]): void {
    this.state = {
      name: 'Active',
      sinceMs: nowMs,
      sentAtMs: nowMs,
      sentIntervalMs: this.#pace.advertisedMs(nowMs),
      adverAtMs: nowMs + this.options.advertisementIntervalMs,
      lease: new Lease(nowMs),
      announcements: new Announcements(nowMs),
      resignation: null,
      isSuccessor: cause.kind === 'active_resigned',
    };
    this.#heard = null;
    actions.push(
      this.#advertisement(this.priority, nowMs),
      { type: 'bind' },
      { type: 'announce' },
      { type: 'transition', from: 'Backup', to: 'Active', cause },
    );
  }

  /**
   * An Active that did not run for an Active_Down_Interval must assume that a Backup has taken over: whatever it
   * believes, and whatever is queued on its socket, is old.
   */
  private stepDownIfStalled(state: ActiveState, nowMs: number, actions: Action[]): boolean {
    const silentMs = nowMs - state.sentAtMs;
    if (this.#isAlone || silentMs <= this.#ownActiveDownMs(state.sentIntervalMs)) return false;
    this.#stepDown(`stalled: sent nothing for ${Math.round(silentMs)} ms`, nowMs, actions);
    return true;
  }

  /** Time went on elsewhere: an Active has been silent for longer than it knows, and a Backup was not there to hear. */
  #onSuspended(forMs: number, nowMs: number, actions: Action[]): void {
    const { state } = this;
    if (state.name === 'Backup') state.timer.restart(this.#ownPriority, nowMs);
    if (state.name !== 'Active' || this.#isAlone) return;
    const silentMs = nowMs - state.sentAtMs + forMs;
    if (silentMs <= this.#ownActiveDownMs(state.sentIntervalMs)) return;
    this.#stepDown(`stalled: this machine was suspended for ${Math.round(forMs)} ms`, nowMs, actions);
  }

  #stepDown(why: string, nowMs: number, actions: Action[]): void {
    this.#leave(
      'Backup',
      { kind: 'stalled', text: `${why}, another node may have taken over` },
      nowMs,
      actions,
    );
    this.#heard = null;
    actions.push({ type: 'discardQueued' });
  }

  #onLinkDown(
    event: { readonly text: string; readonly handover?: boolean },
    nowMs: number,
    actions: Action[],
  ): void {
    const { state } = this;
    this.#primary = null;
    if (state.name === 'Active' && event.handover === true) {
      if (state.resignation === null) this.#resign(state, 'linkDown', event.text, nowMs, actions);
      // A drain that fails would keep the addresses, which without a source this router cannot.
      else if (state.resignation.reason !== 'shutdown')
        state.resignation = { ...state.resignation, reason: 'linkDown', text: event.text };
      return;
    }
    this.#heard = null;
    if (state.name === 'Initialize') return;
    this.#leave('Initialize', { kind: 'link_down', text: event.text }, nowMs, actions);
  }

  /** The link can be used again before a successor was heard. */
  #cancelDeparture(nowMs: number, actions: Action[]): void {
    const { state } = this;
    if (state.name !== 'Active' || state.resignation?.reason !== 'linkDown') return;
    state.announcements.beginAnew(nowMs);
    if (this.isDrained) this.#resign(state, 'drain', 'drained', nowMs, actions);
    else this.#cancelResignation(state, nowMs, actions);
  }

  #onShutdown(
    event: { readonly handover: boolean; readonly text: string },
    nowMs: number,
    actions: Action[],
  ): void {
    this.started = false;
    if (this.state.name === 'Initialize') return;
    if (this.state.name === 'Active' && event.handover) {
      // Asked again, it does not begin again.
      if (this.state.resignation?.reason === 'shutdown') return;
      this.#resign(this.state, 'shutdown', event.text, nowMs, actions);
      return;
    }
    if (this.state.name === 'Active') actions.push(this.#advertisement(0, nowMs));
    this.#leave('Initialize', { kind: 'stopped', text: event.text }, nowMs, actions);
  }

  #onDrain(force: boolean, nowMs: number, actions: Action[]): void {
    this.isDrained = true;
    // A router that is stopping hands over already.
    if (this.state.name !== 'Active' || !this.started) return;
    const { resignation } = this.state;
    // Asked again, it does not begin again: an Active that is asked each second would resign for ever.
    if (resignation === null)
      this.#resign(
        this.state,
        force ? 'forcedDrain' : 'drain',
        force ? 'drained by force' : 'drained',
        nowMs,
        actions,
      );
    else if (force && resignation.reason === 'drain')
      this.state.resignation = { ...resignation, reason: 'forcedDrain', text: 'drained by force' };
  }

  #onUndrain(nowMs: number, actions: Action[]): void {
    this.isDrained = false;
    if (this.state.name !== 'Active' || this.state.resignation === null) return;
    const { reason } = this.state.resignation;
    if (reason === 'drain' || reason === 'forcedDrain') this.#cancelResignation(this.state, nowMs, actions);
  }

  /** Priority 0 makes a Backup take over within Skew_Time; the addresses stay until it is heard. */
  #resign(
    state: ActiveState,
    reason: Resignation['reason'],
    text: string,
    nowMs: number,
    actions: Action[],
  ): void {
    // Two intervals leave room for a lost packet and for version 2's fixed skew of up to one second.
    const wantedMs = 2 * Math.max(this.options.advertisementIntervalMs, HANDOVER_GRACE_MS);
    const waitMs = reason === 'shutdown' ? Math.min(wantedMs, MAX_SHUTDOWN_WAIT_MS) : wantedMs;
    state.resignation = { deadlineMs: nowMs + waitMs, reason, text };
    this.#sendNow(state, nowMs, actions);
  }

  #cancelResignation(state: ActiveState, nowMs: number, actions: Action[]): void {
    state.resignation = null;
    this.#sendNow(state, nowMs, actions);
  }

  #onResignationDeadline(
    state: ActiveState,
    resignation: Resignation,
    nowMs: number,
    actions: Action[],
  ): void {
    if (resignation.reason === 'drain') {
      this.isDrained = false;
      this.#cancelResignation(state, nowMs, actions);
      actions.push({
        type: 'notice',
        notice: 'drain_failed',
        text: 'no other node took over: this one keeps the addresses',
      });
      return;
    }
    const text = `${resignation.text}; no other node took over`;
    const to =
      resignation.reason === 'shutdown' || resignation.reason === 'linkDown' ? 'Initialize' : 'Backup';
    this.#leave(to, { kind: 'no_successor', text }, nowMs, actions);
  }

  #onHealth(healthClass: HealthClass, confirmedAtMs: number, nowMs: number, actions: Action[]): void {
    const changed = healthClass !== this.#healthClass;
    this.#healthClass = healthClass;
    this.#healthConfirmedAtMs = confirmedAtMs;
    // Backups should learn at once that their Active can no longer, or can again, serve.
    if (changed && this.state.name === 'Active') this.#sendNow(this.state, nowMs, actions);
  }

  #onAdvertisement(advertisement: Advertisement, source: IpAddress, nowMs: number, actions: Action[]): void {
    const { state } = this;
    if (state.name === 'Active')
      this.#onAdvertisementWhileActive(state, advertisement, source, nowMs, actions);
    if (state.name === 'Backup')
      this.#onAdvertisementWhileBackup(state, advertisement, source, nowMs, actions);
  }

  /** RFC 9568 6.4.2, an ADVERTISEMENT is received. */
  #onAdvertisementWhileBackup(
    state: BackupState,
    advertisement: Advertisement,
    source: IpAddress,
    nowMs: number,
    actions: Action[],
  ): void {
    this.#noteRivalryOfOthers(source, nowMs, actions);
    if (advertisement.priority === 0 && this.#hearsAnother(state, source, nowMs)) return;
    const heard: HeardActive = { address: source, priority: advertisement.priority, heardAtMs: nowMs };
    this.#heard = heard;
    state.isWithoutActive = false;
    if (advertisement.priority === 0) {
      this.#preemption.reset();
      state.takeover = { kind: 'active_resigned', text: `${source.text} gave up (priority 0)` };
      state.timer.answerResignation(this.#ownPriority, nowMs);
      return;
    }
    state.takeover = this.#preemption.reasonAgainst(heard, {
      isEligible: this.isEligible(nowMs),
      priority: this.priority,
      confirmedAtMs: this.#healthConfirmedAtMs,
    });
    if (state.takeover !== null) return;
    state.timer.follow(advertisement.advertisementIntervalMs, this.#ownPriority, nowMs);
  }

  /**
   * An Active other than `source` has been heard within its interval. It goes on when `source` gives up, as one does
   * that has not yet heard its successor.
   */
  #hearsAnother({ timer }: BackupState, source: IpAddress, nowMs: number): boolean {
    const heard = this.#heard;
    if (heard === null || heard.priority === 0 || heard.address.text === source.text) return false;
    return nowMs - heard.heardAtMs <= timer.activeAdverIntervalMs;
  }

  /** RFC 9568 6.4.3, an ADVERTISEMENT is received. */
  #onAdvertisementWhileActive(
    state: ActiveState,
    advertisement: Advertisement,
    source: IpAddress,
    nowMs: number,
    actions: Action[],
  ): void {
    const { resignation } = state;
    if (advertisement.priority === 0) {
      if (resignation === null) this.#assertActive(state, nowMs, actions);
      return;
    }
    const successor: HeardActive = {
      address: source,
      priority: advertisement.priority,
      heardAtMs: nowMs,
    };
    if (resignation !== null) {
      this.#heard = successor;
      const cause: Cause = {
        kind: 'handed_over',
        text: `${resignation.text}: ${source.text} has taken over`,
      };
      this.#leave('Backup', cause, nowMs, actions, advertisement.advertisementIntervalMs);
      return;
    }
    if (!this.isOutrankedBy(advertisement, source)) {
      this.#noteRivalry('this node', source, nowMs, actions);
      this.#assertActive(state, nowMs, actions);
      return;
    }
    this.#heard = successor;
    const text = `${source.text} advertises priority ${advertisement.priority}, own is ${this.priority}`;
    // A last word, so that the other one learns that there were two and announces the addresses anew: where a network
    // has healed it may have noticed nothing, while half of the neighbors still send to this node.
    actions.push(this.#advertisement(this.priority, nowMs));
    this.#leave('Backup', { kind: 'outranked', text }, nowMs, actions, advertisement.advertisementIntervalMs);
  }

  /** In a Backup's ears two are Active while they take turns. */
  #noteRivalryOfOthers(source: IpAddress, nowMs: number, actions: Action[]): void {
    const heard = this.#heard;
    if (heard === null || heard.address.text === source.text) return;
    this.#noteRivalry(heard.address.text, source, nowMs, actions);
  }

  /** Elections end within an Active_Down_Interval: where there are two for longer, one does not hear the other. */
  #noteRivalry(one: string, other: IpAddress, nowMs: number, actions: Action[]): void {
    const { state, options } = this;
    const downMs =
      state.name === 'Backup'
        ? state.timer.activeDownMs(this.#ownPriority)
        : this.#ownActiveDownMs(options.advertisementIntervalMs);
    const forMs = this.#rivalry.note(nowMs, downMs);
    if (forMs <= downMs) return;
    const text = `two nodes have been Active for ${Math.round(forMs)} ms, ${one} and ${other.text}: one does not hear the other; let IP protocol 112 pass both ways between them`;
    actions.push({ type: 'notice', notice: 'two_actives', text });
  }

  private isOutrankedBy(advertisement: Advertisement, source: IpAddress): boolean {
    if (advertisement.priority !== this.priority) return advertisement.priority > this.priority;
    return this.#primary !== null && compareIp(source, this.#primary) > 0;
  }

  /**
   * Answers another Active at once (RFC 9568 6.4.3), but a flood of its packets not more than ten times an interval.
   * It has announced the addresses as its own.
   */
  #assertActive(state: ActiveState, nowMs: number, actions: Action[]): void {
    state.announcements.beginAnew(nowMs);
    const minimumGapMs = this.options.advertisementIntervalMs / 10;
    if (nowMs - state.sentAtMs < minimumGapMs) {
      state.adverAtMs = Math.min(state.adverAtMs, state.sentAtMs + minimumGapMs);
      return;
    }
    this.#sendNow(state, nowMs, actions);
  }

  #sendNow(state: ActiveState, nowMs: number, actions: Action[]): void {
    state.sentAtMs = nowMs;
    state.sentIntervalMs = this.#pace.advertisedMs(nowMs);
    state.adverAtMs = nowMs + this.options.advertisementIntervalMs;
    actions.push(this.#advertisement(this.priority, nowMs));
  }

  #advertisement(priority: number, nowMs: number): Action {
    return { type: 'send', priority, intervalMs: this.#pace.advertisedMs(nowMs) };
  }

  /** Something has happened to the address, or is said of it. */
  #onAddressEvent(state: ActiveState, event: AddressEvent, nowMs: number, actions: Action[]): void {
    switch (event.type) {
      case 'addressLost':
        this.#onAddressLost(state, event.text, nowMs, actions);
        break;
      case 'addressClaimed':
        // Neighbors that believed the other host are told anew; a successor's word is not to be undone.
        if (state.resignation === null) actions.push({ type: 'announce' });
        break;
      case 'bound':
        // The Active before waits for it: a kernel may take its time to bind.
        if (state.isSuccessor && state.resignation === null) this.#sendNow(state, nowMs, actions);
        break;
      case 'bindFailed':
        this.#giveUp({ kind: 'bind_failed', text: event.text }, nowMs, actions);
        break;
      case 'renewalFailed':
        this.#onRenewalFailed(state, event.text, nowMs, actions);
        break;
      case 'leaseOverdue':
        this.#onLeaseOverdue(event.text, nowMs, actions);
        break;
    }
  }

  /** Another node can serve, and this one cannot before its kernel answers. */
  #onLeaseOverdue(text: string, nowMs: number, actions: Action[]): void {
    if (this.#isAlone) {
      const kept = `${text}; this node waits for its kernel, as there is no other node to take over`;
      actions.push({ type: 'notice', notice: 'renewal_failed', text: kept });
      return;
    }
    this.#awaitsKernel = true;
    actions.push(this.#advertisement(0, nowMs));
    this.#leave('Backup', { kind: 'lease_overdue', text }, nowMs, actions);
  }

  #onRenewalFailed(state: ActiveState, text: string, nowMs: number, actions: Action[]): void {
    if (state.lease.fail(nowMs) < RENEWALS) {
      actions.push({ type: 'notice', notice: 'renewal_failed', text: `${text}; it is tried again` });
      return;
    }
    if (this.#isAlone) {
      const kept = `${text}, ${RENEWALS} times in a row; it is tried again, as there is no other node to take over`;
      actions.push({ type: 'notice', notice: 'renewal_failed', text: kept });
      return;
    }
    const often = `${text}, ${RENEWALS} times in a row`;
    this.#giveUp({ kind: 'renewal_failed', text: often }, nowMs, actions);
  }

  #onAddressLost(state: ActiveState, text: string, nowMs: number, actions: Action[]): void {
    const times = state.lease.lose(nowMs);
    if (times > MAX_REPAIRS) {
      this.#onAddressLostOften(text, times, nowMs, actions);
      return;
    }
    state.lease.renew(nowMs);
    actions.push({ type: 'bind' });
    // A successor may already have announced itself; an announcement from here would undo that.
    const isResigning = state.resignation !== null;
    if (!isResigning) actions.push({ type: 'announce' });
    const restored = `${text}: put back${isResigning ? '' : ' and announced again'}`;
    actions.push({ type: 'notice', notice: 'address_restored', text: restored });
  }

  /**
   * Something on the node fights for the address. Another node may be better off; without one, renewals put it back.
   */
  #onAddressLostOften(lostText: string, times: number, nowMs: number, actions: Action[]): void {
    const text = `${lostText}, ${times} times within ${HOLD_OFF_MS / 1000} s`;
    if (!this.#isAlone) {
      this.#giveUp({ kind: 'address_lost', text }, nowMs, actions);
      return;
    }
    // Once in HOLD_OFF_MS, however often it is lost.
    if (times > MAX_REPAIRS + 1) return;
    const kept = `${text}: put back within ${LEASE_RENEWAL_MS} ms each time, as there is no other node to take over`;
    actions.push({ type: 'notice', notice: 'address_restored', text: kept });
  }

  /** Lets others take over at once, and keeps out of the election for a while. */
  #giveUp(cause: Cause, nowMs: number, actions: Action[]): void {
    this.holdOffUntilMs = nowMs + HOLD_OFF_MS;
    actions.push(this.#advertisement(0, nowMs));
    this.#leave('Backup', cause, nowMs, actions);
  }

  #onTick(nowMs: number, actions: Action[]): void {
    if (this.state.name === 'Backup') this.#onTickWhileBackup(this.state, nowMs, actions);
    else if (this.state.name === 'Active') this.#onTickWhileActive(this.state, nowMs, actions);
  }

  #onTickWhileBackup(state: BackupState, nowMs: number, actions: Action[]): void {
    if (nowMs < state.timer.dueMs) return;
    if (this.isEligible(nowMs)) {
      this.#promote(state.takeover ?? this.#silence(state, nowMs), nowMs, actions);
      return;
    }
    state.timer.restart(this.#ownPriority, nowMs);
    state.takeover = null;
    if (state.isWithoutActive) return;
    state.isWithoutActive = true;
    const text = `${this.#silence(state, nowMs).text}, but this node does not take over: ${this.#whyNotEligible(nowMs)}`;
    actions.push({ type: 'notice', notice: 'not_eligible', text });
  }

  #silence(state: BackupState, nowMs: number): Cause {
    const text =
      this.#heard === null
        ? `no Active heard for ${Math.round(nowMs - state.sinceMs)} ms`
        : `no advertisement from ${this.#heard.address.text} for ${Math.round(nowMs - this.#heard.heardAtMs)} ms`;
    return { kind: 'active_silent', text, silent: this.#heard?.address };
  }

  #onTickWhileActive(state: ActiveState, nowMs: number, actions: Action[]): void {
    if (state.resignation !== null && nowMs >= state.resignation.deadlineMs) {
      this.#onResignationDeadline(state, state.resignation, nowMs, actions);
      if (this.state !== state) return;
    }
    if (nowMs >= state.adverAtMs) this.#sendNow(state, nowMs, actions);
    if (nowMs >= state.lease.dueMs) {
      state.lease.renew(nowMs);
      actions.push({ type: 'renew' });
    }
    if (nowMs >= state.announcements.dueMs) {
      state.announcements.advance(nowMs);
      // A successor may already have announced itself; a late word from here would undo that.
      if (state.resignation === null) actions.push({ type: 'announce' });
    }
  }

  private isEligible(nowMs: number): boolean {
    return (
      this.#healthClass !== 'C' && !this.isDrained && !this.#awaitsKernel && nowMs >= this.holdOffUntilMs
    );
  }

  #whyNotEligible(nowMs: number): string {
    if (this.isDrained) return 'it is drained';
    if (this.#awaitsKernel) return 'its kernel has not yet answered the request to bind the address';
    if (nowMs < this.holdOffUntilMs) return 'it could not keep the address a moment ago';
    return 'it has nothing to serve (class C)';
  }

  /** For how long Backups of this router's priority wait for an Active that has named this interval. */
  #ownActiveDownMs(intervalMs: number): number {
    return activeDownIntervalMs(this.options.version, this.#ownPriority, intervalMs);
  }

  get #ownPriority(): number {
    return this.options.priorities[this.#healthClass];
  }
}
