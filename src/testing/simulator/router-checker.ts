/**
 * What must be true of every step of one router, whatever happens around it. It sees what the router sees and does, and
 * nothing of how it decides; the formulas are written anew here, so that a mistake in src/vrrp/intervals.ts is found.
 */
import type { Advertisement } from '../../vrrp/advertisement.ts';
import { ANNOUNCEMENT_OFFSETS_MS } from '../../vrrp/announcements.ts';
import type {
  Action,
  Cause,
  CauseKind,
  RouterEvent,
  StateName,
  VirtualRouterOptions,
} from '../../vrrp/events.ts';
import { HOLD_OFF_MS, LEASE_RENEWAL_MS, LEASE_SECONDS } from '../../vrrp/lease.ts';
import type { HealthClass } from '../../node/health-class.ts';
import { PRIORITY_BANDS } from '../../vrrp/priority.ts';
import type { Fail } from './failure.ts';

/** After these an address is left alone for HOLD_OFF_MS. */
export const GIVEN_UP: ReadonlySet<CauseKind> = new Set(['bind_failed', 'renewal_failed', 'address_lost']);

/** What is left of a millisecond when clocks with a month on them are added and subtracted. */
const ROUNDING_MS = 0.001;
/**
 * Answers to other Actives are limited to ten an interval (RouterChecker is told nothing of why); some room for the
 * rest.
 */
const MAX_SENDS_PER_INTERVAL = 14;
/** A promotion is announced in a burst; another Active may cause a new one, each second. */
const BURST_ANNOUNCEMENTS = ANNOUNCEMENT_OFFSETS_MS.length;
const ANNOUNCEMENTS_PER_SECOND = ANNOUNCEMENT_OFFSETS_MS.filter((offsetMs) => offsetMs <= 1000).length + 1;
export const BURST_MS = Math.max(...ANNOUNCEMENT_OFFSETS_MS);
/** How many timers in a row there may be before an Active that was late is not any more. */
export const PUNCTUAL_TIMERS = BURST_ANNOUNCEMENTS + 1;

/** For so long after it was late an Active advertises a longer interval than its own. */
const PATIENCE_MS = 30_000;

/** What only an Active does. */
const ACTS_OF_ACTIVE: ReadonlySet<Action['type']> = new Set(['send', 'bind', 'renew', 'announce']);

/** Skew_Time (RFC 9568 6.1; version 2: RFC 3768 6.1). */
export function skewMs(version: 2 | 3, priority: number, intervalMs: number): number {
  return ((256 - priority) / 256) * (version === 2 ? 1000 : intervalMs);
}

/** Active_Down_Interval (RFC 9568 6.1). */
export function downMs(version: 2 | 3, priority: number, intervalMs: number): number {
  return 3 * intervalMs + skewMs(version, priority, intervalMs);
}

/** The promise (README.md, who holds the VIP): below both A and B is what has nothing to serve, or cannot verify it. */
function mayBePreempted(priority: number, own: HealthClass): boolean {
  if (priority === 0) return false;
  const canVerify = own === 'A' || own === 'B';
  return priority <= (canVerify ? PRIORITY_BANDS.U.high : PRIORITY_BANDS.C.high);
}

/** The advertisement that this router, as a Backup, heard last; priority 0 aside. */
type Heard = {
  readonly sourceText: string;
  readonly priority: number;
  readonly ownPriority: number;
  readonly atMs: number;
};

/** The first priority 0 since: RFC 9568 6.4.2 gives a Backup Skew_Time from there, and a drain has to end. */
type Resigned = {
  readonly atMs: number;
  readonly ownPriority: number;
  /** Whether it has to be answered: not, where another Active may be heard beside the one that resigns. */
  readonly isDue: boolean;
};

export class RouterChecker {
  healthClass: HealthClass = 'C';
  isDrained = false;
  /** Out of elections until the kernel has answered a call that was overdue. */
  awaitsKernel = false;
  /** Out of elections until then, by the host's clock. */
  heldOffUntilMs = -Infinity;
  /** The longest Active_Adver_Interval that this router may have learned. */
  learnedLongestMs: number;
  readonly #options: VirtualRouterOptions;
  readonly #fail: Fail;
  #learnedShortestMs: number;
  #confirmedAtMs = 0;
  /** Since when no Active that stays has been heard: its last advertisement, or becoming a Backup. */
  #silentSinceMs = 0;
  #heard: Heard | null = null;
  #resigned: Resigned | null = null;
  /** When the Active_Down_Timer was last set anew for a whole Active_Down_Interval, at the latest. */
  #armedAtMs = 0;
  #dueMs = Infinity;
  #unhealthySinceMs: number | null = null;
  #lowerSinceMs: number | null = null;
  /** When it last advertised, by the host's clock, and which interval. */
  sentAtMs = 0;
  #sentIntervalMs: number;
  #lateAtMs = -Infinity;
  #hasResigned = false;
  #windowSinceMs = -Infinity;
  #windowSends = 0;
  #termSinceMs = 0;
  #announcements = 0;
  #repairs = 0;

  constructor(options: VirtualRouterOptions, fail: Fail) {
    this.#options = options;
    this.#fail = fail;
    this.#learnedShortestMs = options.advertisementIntervalMs;
    this.learnedLongestMs = options.advertisementIntervalMs;
    this.#sentIntervalMs = options.advertisementIntervalMs;
  }

  /** After a step from state `from` at `nowMs` of the host's clock. */
  onStep(event: RouterEvent, actions: readonly Action[], from: StateName, nowMs: number): void {
    this.#takeEvent(event, from, nowMs);
    if (from === 'Active') {
      this.#noteLateness(nowMs);
      this.#checkStall(actions, nowMs);
    }
    const promotion = actions.findIndex((action) => action.type === 'transition' && action.to === 'Active');
    if (promotion >= 0) {
      this.#checkPromotion(actions, from, nowMs);
      this.#termSinceMs = nowMs;
      this.#announcements = 0;
      this.#repairs = 0;
      this.#hasResigned = false;
    }
    // It fired, and the router could not take over.
    else if (event.type === 'tick' && from === 'Backup' && nowMs >= this.#dueMs) this.#rearm(nowMs);
    if (actions.length === 0) return;
    this.#checkActions(actions, promotion >= 0 ? 'Active' : from, nowMs);
    for (const action of actions) {
      if (action.type === 'transition') this.#takeTransition(action.to, action.cause, event, nowMs);
      if (action.type === 'notice' && action.notice === 'drain_failed') this.isDrained = false;
    }
  }

  /**
   * Of a Backup, after each step: when its timer is due. Never later than what it has heard in this term allows, so
   * that neither an Active that it followed earlier nor one that repeats its resignation can keep it from taking over.
   */
  checkDeadline(dueMs: number): void {
    const { version, priorities } = this.#options;
    const { learnedLongestMs: intervalMs } = this;
    const resigned = this.#resigned;
    const armedAtMs = this.#armedAtMs;
    this.#dueMs = dueMs;
    const answerMs =
      resigned === null ? -Infinity : resigned.atMs + skewMs(version, resigned.ownPriority, intervalMs);
    if (resigned?.isDue === true && dueMs > answerMs + ROUNDING_MS) {
      const waitsMs = (dueMs - resigned.atMs).toFixed(3);
      this.#fail(
        'answers-resignation',
        `waits ${waitsMs} ms after the first priority 0, longer than Skew_Time`,
      );
    }
    const longestMs = Math.max(answerMs, armedAtMs + downMs(version, priorities.C, intervalMs));
    if (dueMs <= longestMs + ROUNDING_MS) return;
    const waitsMs = (dueMs - armedAtMs).toFixed(3);
    this.#fail('waits-too-long', `waits ${waitsMs} ms for an Active that it heard name ${intervalMs} ms`);
  }

  /** Of an Active that has been awake for a while: it advertises, and announces again and again, when it should. */
  checkPunctuality(nowMs: number, timerMs: number): void {
    const silentMs = nowMs - this.sentAtMs;
    if (silentMs > this.#options.advertisementIntervalMs + 2 * timerMs) {
      this.#fail('advertises', `an Active that runs has sent nothing for ${silentMs.toFixed(3)} ms`);
    }
    const isBurstOver = nowMs > this.#termSinceMs + BURST_MS + PUNCTUAL_TIMERS * timerMs;
    if (isBurstOver && !this.#hasResigned && this.#announcements < BURST_ANNOUNCEMENTS) {
      this.#fail('announces-again', `${this.#announcements} announcements in the first ${BURST_MS} ms`);
    }
  }

  #takeEvent(event: RouterEvent, from: StateName, nowMs: number): void {
    switch (event.type) {
      case 'health':
        this.healthClass = event.class;
        this.#confirmedAtMs = Math.max(this.#confirmedAtMs, event.confirmedAtMs);
        break;
      case 'drain':
        this.isDrained = true;
        break;
      case 'undrain':
        this.isDrained = false;
        break;
      case 'leaseAnswered':
        this.awaitsKernel = false;
        break;
      case 'addressLost':
        this.#repairs += 1;
        break;
      case 'advertisement':
        if (from === 'Backup') this.#takeAdvertisement(event.advertisement, event.source.text, nowMs);
        break;
      default:
        break;
    }
  }

  #rearm(nowMs: number): void {
    this.#armedAtMs = nowMs;
    this.#resigned = null;
  }

  #takeAdvertisement(advertisement: Advertisement, sourceText: string, nowMs: number): void {
    const { preempt, priorities } = this.#options;
    const { priority, advertisementIntervalMs: intervalMs } = advertisement;
    const ownPriority = priorities[this.healthClass];
    if (priority === 0) {
      this.#takeResignation(sourceText, ownPriority, nowMs);
      return;
    }
    this.#silentSinceMs = nowMs;
    this.#heard = { sourceText, priority, ownPriority, atMs: nowMs };
    const isUnhealthy = mayBePreempted(priority, this.healthClass);
    const isLower = priority < ownPriority;
    this.#unhealthySinceMs = isUnhealthy ? (this.#unhealthySinceMs ?? nowMs) : null;
    this.#lowerSinceMs = isLower ? (this.#lowerSinceMs ?? nowMs) : null;
    // Whether a router learns the interval of an Active that it is about to preempt is its own affair.
    const isPreemptable = (preempt === 'unhealthy' && isUnhealthy) || (preempt === 'always' && isLower);
    this.#learnedShortestMs = isPreemptable ? Math.min(this.#learnedShortestMs, intervalMs) : intervalMs;
    this.learnedLongestMs = isPreemptable ? Math.max(this.learnedLongestMs, intervalMs) : intervalMs;
    this.#rearm(nowMs);
  }

  /** Priority 0 from another than the Active that is heard: that one may go on, and is then the Active. */
  #takeResignation(sourceText: string, ownPriority: number, nowMs: number): void {
    const heard = this.#heard;
    const isOfAnother = heard !== null && heard.sourceText !== sourceText && this.#resigned === null;
    const silentMs = heard === null ? Infinity : nowMs - heard.atMs;
    if (isOfAnother && silentMs <= this.#learnedShortestMs) return;
    this.#unhealthySinceMs = null;
    this.#lowerSinceMs = null;
    this.#resigned ??= {
      atMs: nowMs,
      ownPriority,
      isDue: !isOfAnother || silentMs > this.learnedLongestMs,
    };
  }

  /** Late, and not frozen for longer than its address lasts. */
  #noteLateness(nowMs: number): void {
    const silentMs = nowMs - this.sentAtMs;
    const isLate = silentMs > 2 * this.#options.advertisementIntervalMs && silentMs < LEASE_SECONDS * 1000;
    if (isLate) this.#lateAtMs = nowMs;
  }

  /** A stalled Active never wakes up believing: it goes by what it told the Backups. */
  #checkStall(actions: readonly Action[], nowMs: number): void {
    const { version, priorities } = this.#options;
    const silentMs = nowMs - this.sentAtMs;
    if (silentMs <= downMs(version, priorities.C, this.#sentIntervalMs) + ROUNDING_MS) return;
    const isOut = actions[0]?.type === 'unbind';
    const isQuiet = !actions.some(({ type }) => type === 'send' || type === 'announce' || type === 'bind');
    if (isOut && isQuiet) return;
    this.#fail(
      'stalled',
      `an Active that sent nothing for ${silentMs.toFixed(1)} ms went on as if it were Active`,
    );
  }

  /** Every promotion sends, binds and announces, in this order, and has a good reason. */
  #checkPromotion(actions: readonly Action[], from: StateName, nowMs: number): void {
    const types = actions.map(({ type }) => type).filter((type) => type !== 'notice');
    if (from !== 'Backup' || types.join(' ') !== 'send bind announce transition') {
      this.#fail('promotion-announces', `promoted from ${from} with ${types.join(', ')}`);
    }
    if (this.healthClass === 'C') this.#fail('class-c', 'a router of class C took the addresses');
    if (this.awaitsKernel) this.#fail('awaits-kernel', 'took the addresses before its kernel has answered');
    if (this.isDrained) this.#fail('drained', 'a drained router took the addresses');
    if (nowMs < this.heldOffUntilMs - ROUNDING_MS) {
      this.#fail('hold-off', 'promoted too soon after it gave the addresses up');
    }
    this.#checkTiming(nowMs);
  }

  #checkTiming(nowMs: number): void {
    const { version, priorities } = this.#options;
    const heard = this.#heard;
    const resigned = this.#resigned;
    const silentMs = nowMs - this.#silentSinceMs + ROUNDING_MS;
    if (silentMs >= downMs(version, priorities.A, this.#learnedShortestMs)) return;
    if (resigned !== null) {
      const resignedMs = nowMs - resigned.atMs + ROUNDING_MS;
      if (resignedMs >= skewMs(version, priorities.A, this.#learnedShortestMs)) return;
      this.#fail('too-early', `promoted ${resignedMs.toFixed(3)} ms after priority 0, before its Skew_Time`);
    }
    if (heard === null)
      this.#fail('too-early', `promoted ${silentMs.toFixed(3)} ms after it became a Backup`);
    this.#checkPreemption(heard, nowMs);
  }

  /** Promoted though the Active is alive. */
  #checkPreemption(heard: Heard, nowMs: number): void {
    const { preempt, preemptDelayMs } = this.#options;
    const what = `preempted an Active of priority ${heard.priority} that it heard ${(nowMs - this.#silentSinceMs).toFixed(3)} ms ago`;
    if (preempt === 'never') this.#fail('preemption', `${what}, under never`);
    if (preempt === 'always') {
      if (heard.priority >= heard.ownPriority) {
        this.#fail('preemption', `${what}, its own being ${heard.ownPriority}`);
      }
      this.#checkDelay(nowMs - (this.#lowerSinceMs ?? nowMs), preemptDelayMs, what);
      return;
    }
    if (this.#unhealthySinceMs === null) this.#fail('preemption', `${what}, under unhealthy`);
    this.#checkDelay(nowMs - this.#unhealthySinceMs, preemptDelayMs, what);
    if (this.#confirmedAtMs <= this.#unhealthySinceMs) {
      this.#fail('unconfirmed', `${what}: no good check of its own began after that one fell to C`);
    }
  }

  #checkDelay(sinceMs: number, delayMs: number, what: string): void {
    if (sinceMs + ROUNDING_MS < delayMs)
      this.#fail('preempt-delay', `${what}, before the preempt delay was over`);
  }

  /** Sends, binds, renews and announces only while Active; tells its true priority; does not do it too often. */
  #checkActions(actions: readonly Action[], from: StateName, nowMs: number): void {
    let holds = from === 'Active';
    for (const action of actions) {
      if (action.type === 'unbind') holds = false;
      if (!ACTS_OF_ACTIVE.has(action.type)) continue;
      if (!holds) this.#fail('silent-backup', `${action.type} by a router that is not Active`);
      if (action.type === 'send') {
        this.#checkSend(action.priority, nowMs);
        this.#checkInterval(action.intervalMs, nowMs);
      }
      if (action.type === 'announce') this.#announcements += 1;
    }
    const after = actions.findLast((action) => action.type === 'transition')?.to ?? from;
    if (holds !== (after === 'Active')) {
      this.#fail('bound-only-while-active', `became ${after} with the VIP ${holds ? 'bound' : 'not bound'}`);
    }
    const seconds = Math.floor((nowMs - this.#termSinceMs) / 1000);
    const allowed = BURST_ANNOUNCEMENTS + ANNOUNCEMENTS_PER_SECOND * seconds + this.#repairs;
    if (holds && this.#announcements > allowed) {
      this.#fail('announcements', `${this.#announcements} announcements within ${seconds + 1} s`);
    }
  }

  #checkSend(priority: number, nowMs: number): void {
    const own = this.#options.priorities[this.healthClass];
    if (priority === 0) this.#hasResigned = true;
    else if (priority !== own) {
      this.#fail(
        'priority',
        `advertised ${priority}, being of class ${this.healthClass} with priority ${own}`,
      );
    }
    this.sentAtMs = nowMs;
    if (nowMs - this.#windowSinceMs >= this.#options.advertisementIntervalMs) {
      this.#windowSinceMs = nowMs;
      this.#windowSends = 0;
    }
    this.#windowSends += 1;
    if (this.#windowSends > MAX_SENDS_PER_INTERVAL) {
      this.#fail('sends', `${this.#windowSends} advertisements within one interval`);
    }
  }

  /** Its own interval, and only after it has been late a longer one, which version 2 does not allow. */
  #checkInterval(intervalMs: number, nowMs: number): void {
    const { version, advertisementIntervalMs: ownMs } = this.#options;
    const isPatient = version === 3 && nowMs < this.#lateAtMs + PATIENCE_MS;
    const expectedMs = isPatient ? Math.max(ownMs, Math.min(2 * ownMs, LEASE_RENEWAL_MS)) : ownMs;
    if (intervalMs !== expectedMs) {
      this.#fail('interval', `advertised ${intervalMs} ms where ${expectedMs} ms is right`);
    }
    this.#sentIntervalMs = intervalMs;
  }

  #takeTransition(to: StateName, cause: Cause, event: RouterEvent, nowMs: number): void {
    if (cause.kind === 'lease_overdue') this.awaitsKernel = true;
    if (GIVEN_UP.has(cause.kind)) {
      this.heldOffUntilMs = nowMs + HOLD_OFF_MS;
    }
    if (to === 'Backup') this.#takeBackup(cause, event, nowMs);
  }

  /**
   * Whatever it followed before its term as Active, it begins with its own interval, or that of the Active that it
   * hears.
   */
  #takeBackup(cause: Cause, event: RouterEvent, nowMs: number): void {
    const ownIntervalMs = this.#options.advertisementIntervalMs;
    this.#silentSinceMs = nowMs;
    this.#heard = null;
    this.#unhealthySinceMs = null;
    this.#lowerSinceMs = null;
    this.#learnedShortestMs = ownIntervalMs;
    this.learnedLongestMs = ownIntervalMs;
    this.#rearm(nowMs);
    const isYielding = cause.kind === 'outranked' || cause.kind === 'handed_over';
    if (isYielding && event.type === 'advertisement') {
      const { advertisementIntervalMs } = event.advertisement;
      this.#takeAdvertisement(event.advertisement, event.source.text, nowMs);
      this.#learnedShortestMs = advertisementIntervalMs;
      this.learnedLongestMs = advertisementIntervalMs;
    }
  }
}
