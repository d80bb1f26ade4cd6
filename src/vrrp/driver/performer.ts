/**
 * Serves one VirtualRouter: hands it what happens, performs what it returns, in order, and calls it again when its
 * deadline comes; what fails goes back to it as an event. It decides nothing, and what it works with are arguments: the
 * daemon gives it sockets, rtnetlink and Node's timers, the simulator the like of its own.
 */
import type { Action, Cause, Notice, RouterEvent, StateName } from '../events.ts';
import type { VirtualRouter } from '../virtual-router.ts';
import type { RouterClock } from './router-clock.ts';

/** All of them do nothing while the interface cannot be used. */
export type PerformerSockets = {
  sendAdvertisement(priority: number, intervalMs: number): void;
  announce(): void;
  /** Hands on, as events, the advertisements that have arrived and wait. */
  readQueued(): void;
  /** Forgets them. */
  discardQueued(): void;
};

/** What becomes of one bind or renewal. Only `overdue` may come before `take` has returned; `text` is one sentence. */
export type LeaseListener = {
  /** The kernel has bound the address, or has renewed it. */
  done(): void;
  /** The kernel refused. */
  failed(text: string): void;
  /** The kernel has not answered for too long, and the address is not there. */
  overdue(text: string): void;
  /** It has answered what was overdue. */
  answered(): void;
};

export type RouterLease = {
  /**
   * Adds the address, or starts its lifetime anew. Where the call before has not been answered, a renewal is left out,
   * and a bind follows its answer.
   */
  take(purpose: 'bind' | 'renew', listener: LeaseListener): void;
  /**
   * Does what can only be done while the kernel still has the address, and then, if `isOver()`, removes it. Calls
   * `onEnd` once, whether or not that went well.
   */
  release(handedOver: boolean, isOver: () => boolean, onEnd: () => void): void;
};

/** `transition` and `notice` come in their place among the actions, `stepped` after all actions of an event. */
export type StepObserver = {
  transition(from: StateName, to: StateName, cause: Cause): void;
  notice(notice: Notice, text: string): void;
  stepped(from: StateName): void;
  /** A release has ended. */
  released(): void;
};

export type PerformerOptions = {
  readonly core: VirtualRouter;
  readonly clock: Pick<RouterClock, 'nowMs' | 'startTimer'>;
  readonly sockets: PerformerSockets;
  readonly lease: RouterLease;
  readonly observer: StepObserver;
};

export class Performer {
  readonly #options: PerformerOptions;
  #stopTimer: (() => void) | null = null;
  #timerAtMs = Infinity;
  /** Tells the answers to one term's binds from those to another's. */
  #term = 0;
  /** From the core's wish to have the address bound to its wish to have it removed. */
  #isLeased = false;
  /** The kernel has not answered the latest bind. */
  #isBinding = false;
  /** An announcement waits for the address: neighbors would send to a host that does not have it yet. */
  #announcesWhenBound = false;
  /** How many events are being handled, each within the one before. */
  #depth = 0;
  /** What has been learned meanwhile, and comes after all actions of the event. */
  #later: (() => void)[] = [];
  /** Releases that have not ended: until then the address may still be there. */
  #releasesUnderWay = 0;

  constructor(options: PerformerOptions) {
    this.#options = options;
  }

  /** Whether the address should be on the interface. */
  get leased(): boolean {
    return this.#isLeased;
  }

  /** The address should no longer be on the interface, and may be. */
  get releasing(): boolean {
    return this.#releasesUnderWay > 0;
  }

  /** Hands one event to the core and does what it says. */
  give(event: RouterEvent): void {
    const { core, clock, observer } = this.#options;
    const from = core.stateName;
    const actions = core.step(event, clock.nowMs());
    this.#depth += 1;
    for (const action of actions) this.#perform(action);
    this.#depth -= 1;
    this.#rearm();
    observer.stepped(from);
    if (this.#depth === 0) for (const run of this.#later.splice(0)) run();
  }

  /** Calls the core no more; for when it is out of the election for good. */
  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
  }

  #perform(action: Action): void {
    const { sockets, observer } = this.#options;
    switch (action.type) {
      case 'send':
        sockets.sendAdvertisement(action.priority, action.intervalMs);
        break;
      case 'bind':
        this.#term += 1;
        this.#isLeased = true;
        this.#isBinding = true;
        this.#take('bind');
        break;
      case 'renew':
        this.#take('renew');
        break;
      case 'unbind':
        this.#release(action.handedOver);
        break;
      case 'announce':
        if (this.#isBinding) this.#announcesWhenBound = true;
        else sockets.announce();
        break;
      case 'discardQueued':
        sockets.discardQueued();
        break;
      case 'transition':
        observer.transition(action.from, action.to, action.cause);
        break;
      case 'notice':
        observer.notice(action.notice, action.text);
        break;
    }
  }

  #take(purpose: 'bind' | 'renew'): void {
    const term = this.#term;
    const isCurrent = (): boolean => term === this.#term && this.#isLeased;
    this.#options.lease.take(purpose, {
      done: () => {
        if (purpose === 'bind' && isCurrent()) this.#onBound();
      },
      failed: (text) => {
        if (isCurrent()) this.give({ type: purpose === 'bind' ? 'bindFailed' : 'renewalFailed', text });
      },
      overdue: (text) => {
        const give = (): void => {
          if (isCurrent()) this.give({ type: 'leaseOverdue', text });
        };
        // The core gives the address up: an announcement that is still to be performed would undo that.
        if (this.#depth > 0) this.#later.push(give);
        else give();
      },
      answered: () => this.give({ type: 'leaseAnswered' }),
    });
  }

  #onBound(): void {
    this.#isBinding = false;
    if (this.#announcesWhenBound) this.#options.sockets.announce();
    this.#announcesWhenBound = false;
    this.give({ type: 'bound' });
  }

  #release(handedOver: boolean): void {
    const term = this.#term;
    this.#isLeased = false;
    this.#isBinding = false;
    this.#announcesWhenBound = false;
    this.#releasesUnderWay += 1;
    // Promoted again in the meantime: the address is the new term's.
    const isOver = (): boolean => term === this.#term;
    this.#options.lease.release(handedOver, isOver, () => {
      this.#releasesUnderWay -= 1;
      this.#options.observer.released();
    });
  }

  /** Moves the timer only toward an earlier deadline: one that fires early finds nothing due and is set again. */
  #rearm(): void {
    const { core, clock } = this.#options;
    const { deadlineMs } = core;
    if (deadlineMs === Infinity || (this.#stopTimer !== null && this.#timerAtMs <= deadlineMs)) return;
    this.#stopTimer?.();
    this.#timerAtMs = deadlineMs;
    const delayMs = Math.max(1, Math.ceil(deadlineMs - clock.nowMs()));
    this.#stopTimer = clock.startTimer(delayMs, this.#onTime);
  }

  readonly #onTime = (): void => {
    this.#stopTimer = null;
    // An advertisement that arrived while this thread was late is older than the silence that the timer stands for.
    if (this.#options.core.stateName === 'Backup') this.#options.sockets.readQueued();
    this.give({ type: 'tick' });
  };
}
